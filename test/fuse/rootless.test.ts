import { execFile } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const run = promisify(execFile);
const user = 1000;

/** In a private mount namespace: a /dev/fuse for everybody, and a mount point nobody else's directory is in front of. */
const script = `
set -e
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
mount --bind "$1/mnt" /mnt
shift
exec setpriv --reuid ${user} --regid ${user} --clear-groups "$@"
`;

const asUser = (directory: string, engine: string): Promise<{ stdout: string }> => {
  mkdirSync(path.join(directory, 'mnt'));
  chownSync(path.join(directory, 'mnt'), user, user);
  chmodSync(directory, 0o755);
  const program = fileURLToPath(new URL('../support/fuse-rootless.js', import.meta.url));
  return run('unshare', ['--mount', 'sh', '-c', script, 'sh', directory, process.execPath, program, '/mnt'], {
    env: { ...process.env, SLUICE_ENGINE: engine },
  });
};

const possible = isRoot() && has('fusermount3', 'unshare', 'setpriv', 'mknod');

describe.skipIf(!possible)('FuseSession of a user without privileges', () => {
  it('mounts and unmounts through fusermount3', async () => {
    await withTemporaryDirectory(async (directory) => {
      const { stdout } = await asUser(directory, 'native');
      expect(JSON.parse(stdout)).toEqual({
        text: 'hello\n',
        uid: 0,
        type: 'fuse.sluice',
        source: 'docker.io/a,b\\c d:latest',
        status: 0,
        left: false,
        user,
      });
    });
  });

  it('says that it takes the addon', async () => {
    await withTemporaryDirectory(async (directory) => {
      await expect(asUser(directory, 'portable')).rejects.toThrow('SLUICE_NATIVE_MISSING');
    });
  });
});
