import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mounts } from './mounts.ts';
import { RunDirectory } from './run-directory.ts';
import { has, isRoot } from './tools.ts';

describe.skipIf(!isRoot() || !has('mount', 'umount'))('RunDirectory', () => {
  const before = process.env.TMPDIR;
  let run: RunDirectory;
  let directory = '';

  beforeEach(() => {
    run = new RunDirectory();
    run.enter();
    directory = process.env.TMPDIR ?? '';
  });
  afterEach(async () => {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    await run.clean();
  });

  it('removes files without a word', async () => {
    mkdirSync(path.join(directory, 'a'));
    writeFileSync(path.join(directory, 'a/file'), 'x');
    expect(await run.clean()).toEqual([]);
    expect(existsSync(directory)).toBe(false);
  });

  it('unmounts and names what was left mounted, also below a mount', async () => {
    const outer = path.join(directory, 'with space');
    const inner = path.join(outer, 'inner');
    mkdirSync(outer);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', outer]);
    mkdirSync(inner);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', inner]);
    expect(await run.clean()).toEqual([`mount of tmpfs at ${inner}`, `mount of tmpfs at ${outer}`]);
    expect(mounts().filter(({ target }) => target.startsWith(directory))).toEqual([]);
  });

  it('ends and names a process that has outlived its test', async () => {
    execFileSync('sh', ['-c', 'exec sleep 1000 >/dev/null 2>&1 &']);
    expect(await run.clean()).toEqual([expect.stringMatching(/^process \d+: sleep 1000$/)]);
  });
});
