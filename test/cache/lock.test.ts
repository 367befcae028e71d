import { spawnSync } from 'node:child_process';
import { openSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FlockLock, LinkLock, type Lock, withLock } from '../../src/cache/lock.ts';
import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { reportMissing } from '../support/tools.ts';

const native = loadNative();
if (native === undefined) reportMissing('the addon is not built');

const kinds: [string, (file: string) => Lock][] = [['LinkLock', (file) => new LinkLock(file)]];
if (native !== undefined) kinds.push(['FlockLock', (file) => new FlockLock(native, openSync(file, 'w'))]);

/** A process that is gone: what it left behind names it. */
function leaveLock(file: string): void {
  const script = `const { LinkLock } = await import('${new URL('../../dist/cache/lock.js', import.meta.url)}');
    process.exit(new LinkLock(${JSON.stringify(file)}).tryAcquire() ? 0 : 1);`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  expect(status).toBe(0);
}

describe.each(kinds)('%s', (_, make) => {
  it('excludes a second holder until it is released', async () => {
    await withTemporaryDirectory((directory) => {
      const file = path.join(directory, 'lock');
      const [first, second] = [make(file), make(file)];
      expect(first.tryAcquire()).toBe(true);
      expect(second.tryAcquire()).toBe(false);
      expect(withLock(second, () => 1)).toBeUndefined();
      first.release();
      expect(withLock(second, () => 1)).toBe(1);
      expect(first.tryAcquire()).toBe(true);
    });
  });

  it('is released when the action throws', async () => {
    await withTemporaryDirectory((directory) => {
      const lock = make(path.join(directory, 'lock'));
      expect(() =>
        withLock(lock, () => {
          throw new Error('inside');
        }),
      ).toThrow('inside');
      expect(lock.tryAcquire()).toBe(true);
    });
  });
});

describe('LinkLock', () => {
  it('takes over from a holder that died, and leaves nothing behind', async () => {
    await withTemporaryDirectory((directory) => {
      const file = path.join(directory, 'lock');
      leaveLock(file);
      const [first, second] = [new LinkLock(file), new LinkLock(file)];
      expect(first.tryAcquire()).toBe(true);
      expect(second.tryAcquire()).toBe(false);
      first.release();
      expect(readdirSync(directory)).toEqual([]);
    });
  });

  it('takes over from a holder that died while it took over', async () => {
    await withTemporaryDirectory((directory) => {
      const file = path.join(directory, 'lock');
      leaveLock(file);
      leaveLock(`${file}~`);
      expect(new LinkLock(file).tryAcquire()).toBe(true);
      expect(readdirSync(directory)).toEqual(['lock']);
    });
  });

  it.each([
    ['of an earlier boot', (own: string[]) => ['0', ...own.slice(1)], true],
    ['whose process id came round again', (own: string[]) => [...own.slice(0, 3), '1', ''], true],
    ['of another process namespace', (own: string[]) => [own[0], 'pid:[1]', '999999', '1', ''], false],
  ])('takes a lock %s: %#', async (_, forge, expected) => {
    await withTemporaryDirectory((directory) => {
      const probe = path.join(directory, 'probe');
      new LinkLock(probe).tryAcquire();
      const file = path.join(directory, 'lock');
      symlinkSync(forge(readlinkSync(probe).split('/')).join('/'), file);
      expect(new LinkLock(file).tryAcquire()).toBe(expected);
    });
  });
});
