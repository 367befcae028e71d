import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertTree } from '../support/conformance-image.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const user = 1000;
const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/**
 * In a private mount namespace: a /dev/fuse for everybody, and the test's directory where nobody else's is in front of
 * it. The rest is the user's, who has no privileges.
 */
const enter = `
set -e
rm -f "$1/fuse"
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
mount --bind "$1" /mnt
shift
exec setpriv --reuid ${user} --regid ${user} --clear-groups "$@"
`;

/** Mounts, looks at the mount, unmounts, and prints a line for each. */
const session = `
set -e
cd /mnt/home
export HOME=/mnt/home
mkdir -p mnt
"$NODE" "$COMMAND" mount --json --driver "$1" --cache-dir "cache-$2" oci:/mnt/layout:converted /mnt/home/mnt > result
pid=$(sed -n 's/.*"pid": *//p' result)
cat mnt/hello
stat -c '%u %a' mnt/hello mnt/owned
cat mnt/owned
cat mnt/private/secret 2>/dev/null || echo refused
grep ' /mnt/home/mnt ' /proc/self/mountinfo | sed 's/.* - //'
"$NODE" "$COMMAND" umount /mnt/home/mnt
grep -c ' /mnt/home/mnt ' /proc/self/mountinfo || true
while grep -q '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.05; done 2>/dev/null
grep -E ' (warn|error) ' "cache-$2/sluice.log" | grep -v daemon:portable || true
`;

const file = (name: string, uid: number, text: string) => ({
  path: name,
  mode: 0o100644,
  uid,
  data: [{ offset: 0, bytes: Buffer.from(text) }],
});

const possible = isRoot() && has('fusermount3', 'unshare', 'setpriv', 'mknod', 'stat', 'grep', 'sed');

describe.skipIf(!possible)('sluice mount without privileges', () => {
  let directory: string;
  let image: string;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    image = await convertTree(
      [
        { path: '', mode: 0o040755 },
        file('hello', 0, 'hello\n'),
        file('owned', 33, 'by somebody else\n'),
        { path: 'private', mode: 0o040700, uid: 33 },
        file('private/secret', 33, 'secret\n'),
      ],
      directory,
    );
    mkdirSync(path.join(directory, 'home'));
    chownSync(path.join(directory, 'home'), user, user);
    await run('chmod', ['-R', 'a+rX', path.join(directory, 'layout')]);
    chmodSync(directory, 0o755);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  const asUser = async (driver: string, engine: string, ...wrapper: readonly string[]): Promise<string[]> => {
    const name = [driver, engine, ...wrapper].join('');
    const env = {
      ...process.env,
      SLUICE_ENGINE: engine,
      SLUICE_IDLE_EXIT: '0.2',
      NODE: process.execPath,
      COMMAND: command,
    };
    const words = [...wrapper, 'sh', '-c', session, 'sh', driver, name];
    const output = await run('unshare', ['--mount', 'sh', '-c', enter, 'sh', directory, ...words], { env });
    return output.trimEnd().split('\n');
  };
  const mountLine = (user_id: number, more = ''): unknown =>
    expect.stringMatching(
      new RegExp(
        `^fuse.sluice oci:/mnt/layout:converted ro,user_id=${user_id},group_id=${user_id},default_permissions${more}`,
      ),
    );

  it.each(['fuse', 'libfuse'])('a user mounts through fusermount3, driver %s', async (driver) => {
    expect(image).toContain('converted');
    expect(await asUser(driver, 'native')).toEqual([
      'hello',
      '0 644',
      '33 644',
      'by somebody else',
      'refused',
      mountLine(user),
      '0',
    ]);
  });

  it.each([
    ['fuse', 'native'],
    ['fuse', 'portable'],
    ['libfuse', 'native'],
  ])('root of a user namespace mounts, driver %s, SLUICE_ENGINE=%s', async (driver, engine) => {
    expect(await asUser(driver, engine, 'unshare', '--user', '--map-root-user', '--mount')).toEqual([
      'hello',
      '0 644',
      // An owner the namespace does not know is shown as nobody, and is not its root's to overrule.
      '65534 644',
      'by somebody else',
      'refused',
      mountLine(0, ',allow_other'),
      '0',
    ]);
  });
});
