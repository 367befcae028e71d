import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { realImages } from '../support/images.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { convertedImage, slow } from './converted.ts';

const images = realImages();
const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const user = '1000';

/**
 * In a private mount namespace: a /dev/fuse for everybody, and the test's directory where nobody else's is in front of
 * it. The rest is the user's, who has no privileges.
 */
const enter = `
set -e
mount --bind "$1/fuse" /dev/fuse
mount --bind "$1" /mnt
shift
exec setpriv --reuid ${user} --regid ${user} --clear-groups env HOME=/mnt/home XDG_RUNTIME_DIR=/mnt/home "$@"
`;

const possible = images !== undefined && isRoot() && has('runc', 'unshare', 'setpriv', 'mknod');

describe.skipIf(!possible)('sluice run without privileges', slow, () => {
  let directory = '';

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    const { layout } = await convertedImage(images?.layout ?? '', 'python');
    cpSync(layout, path.join(directory, 'layout'), { recursive: true });
    mkdirSync(path.join(directory, 'home'));
    await run('mknod', ['-m', '666', path.join(directory, 'fuse'), 'c', '10', '229']);
    await run('chmod', ['-R', 'a+rX', directory]);
    await run('chown', [user, path.join(directory, 'home')]);
  }, slow.timeout);
  afterAll(() => removeTemporaryDirectory(directory));

  const asUser = (prefix: readonly string[], ...words: readonly string[]) => {
    const sluice = [process.execPath, command, 'run', '--runtime', 'runc', '--cache-dir', '/mnt/home/cache'];
    const args = ['--mount', 'sh', '-c', enter, 'sh', directory, ...prefix, ...sluice, ...words];
    const { status, stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    return { status, stdout, stderr };
  };

  it('runs a container as the root of a user namespace, and leaves nothing behind', () => {
    const script = 'id -u; cat /proc/self/uid_map; touch /etc/new; python3 /app/app.py; exit 4';
    expect(
      asUser(['unshare', '--user', '--map-root-user', '--mount'], 'oci:/mnt/layout:python', 'sh', '-c', script),
    ).toEqual({
      status: 4,
      stdout: expect.stringMatching(/^0\n +0 +1000 +1\nhello from python\n$/),
      stderr: '',
    });
    expect(readdirSync(path.join(directory, 'home/cache/containers'))).toEqual([]);
  });

  it('says what it takes when there is no such namespace', () => {
    const { status, stderr } = asUser([], 'oci:/mnt/layout:python');
    expect(status).toBe(125);
    expect(stderr).toContain('unshare --user --map-root-user');
  });
});
