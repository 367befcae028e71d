import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileStore } from '../../src/cache/file-store.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

const BOUND = 8 * 64 * 1024;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function withStore(use: (store: FileStore, folder: string) => Promise<void>): Promise<void> {
  await withTemporaryDirectory(async (directory) => {
    const folder = path.join(directory, 'files');
    await use(new FileStore(folder, BOUND), folder);
  });
}

describe('FileStore', () => {
  it('gives back what was put, by kind and digest', () =>
    withStore(async (store) => {
      const bytes = Buffer.from('{"schemaVersion":2}');
      expect(await store.get('manifest', sha256(bytes))).toBeUndefined();
      expect(await store.put('manifest', sha256(bytes), bytes)).toBe(true);
      expect(await store.get('manifest', sha256(bytes))).toEqual(bytes);
      expect(await store.get('config', sha256(bytes))).toBeUndefined();
      expect(store.usage()).toBe(4096);
    }));

  it('removes a manifest whose bytes changed, and leaves bootstraps to their Merkle root', () =>
    withStore(async (store, folder) => {
      const hex = sha256(Buffer.from('right'));
      for (const kind of ['config', 'bootstrap'] as const) {
        await store.put(kind, hex, Buffer.from('right'));
        writeFileSync(path.join(folder, `${kind}-${hex}`), 'wrong');
      }
      expect(await store.get('config', hex)).toBeUndefined();
      expect(existsSync(path.join(folder, `config-${hex}`))).toBe(false);
      expect(await store.get('bootstrap', hex)).toEqual(Buffer.from('wrong'));
    }));

  it('never follows a symbolic link, and replaces it', () =>
    withStore(async (store, folder) => {
      const bytes = Buffer.from('mine');
      const victim = path.join(folder, '..', 'victim');
      writeFileSync(victim, bytes);
      symlinkSync(victim, path.join(folder, `config-${sha256(bytes)}`));
      expect(await store.get('config', sha256(bytes))).toBeUndefined();
      const other = Buffer.from('other');
      await store.put('config', sha256(bytes), other);
      expect(readFileSync(victim)).toEqual(bytes);
    }));

  it('keeps the most recently used within its share', () =>
    withStore(async (store, folder) => {
      const names = ['a', 'b', 'c'].map((digit) => digit.repeat(64));
      for (const [age, hex] of names.entries()) {
        await store.put('bootstrap', hex, new Uint8Array(20_000));
        const when = new Date(Date.now() - 60_000 * (10 - age));
        utimesSync(path.join(folder, `bootstrap-${hex}`), when, when);
      }
      await store.get('bootstrap', names[0]!);
      await store.put('bootstrap', 'd'.repeat(64), new Uint8Array(20_000));
      expect(readdirSync(folder).map((name) => name.at(-1))).toEqual(['a', 'd', 'c'].sort());
      expect(await store.put('bootstrap', 'e'.repeat(64), new Uint8Array(BOUND))).toBe(false);
    }));

  it('removes nothing that is held or pinned, by any process', () =>
    withTemporaryDirectory(async (directory) => {
      const folder = path.join(directory, 'files');
      const hex = (digit: string): string => digit.repeat(64);
      const pinned = new Set([`config-${hex('a')}`]);
      const store = new FileStore(folder, BOUND, () => pinned);
      const held = store.hold();
      await store.put('config', hex('a'), Buffer.from('pinned'));
      await held.put('bootstrap', hex('b'), Buffer.from('put'));
      await store.put('bootstrap', hex('c'), Buffer.from('got'));
      expect(await held.get('bootstrap', hex('c'))).toEqual(Buffer.from('got'));
      await store.put('bootstrap', hex('d'), Buffer.from('neither'));
      expect(held.names).toEqual([`bootstrap-${hex('b')}`, `bootstrap-${hex('c')}`]);
      // A use by somebody else does not shorten it.
      await store.get('bootstrap', hex('b'));
      await new FileStore(folder, BOUND, () => pinned).trim(0);
      expect(store.list('bootstrap').sort()).toEqual([hex('b'), hex('c')]);
      expect(store.list('config')).toEqual([hex('a')]);
      // Ten minutes later, nobody having renewed it.
      for (const name of held.names) utimesSync(path.join(folder, name), 1, 1);
      store.renew();
      await store.trim(0);
      expect(store.list('bootstrap').length).toBe(2);
      held.release();
      for (const name of held.names) utimesSync(path.join(folder, name), 1, 1);
      store.renew();
      await store.trim(0);
      expect(store.list('bootstrap')).toEqual([]);
    }));

  it('removes what a killed process left half written, in time', () =>
    withStore(async (store, folder) => {
      const left = path.join(folder, '.0123456789abcdef');
      writeFileSync(left, 'half');
      await store.trim(BOUND);
      expect(existsSync(left)).toBe(true);
      utimesSync(left, 1, 1);
      await store.trim(BOUND);
      expect(existsSync(left)).toBe(false);
      writeFileSync(path.join(folder, 'note'), 'not ours');
      await store.trim(0);
      expect(readdirSync(folder)).toEqual(['note']);
      unlinkSync(path.join(folder, 'note'));
    }));

  it('takes no name for a path', () =>
    withStore(async (store) => {
      await expect(store.get('config', '../../etc/passwd')).rejects.toThrow(RangeError);
    }));
});
