import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const user = 1000;
const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

/** In a private mount namespace: a /dev/fuse for everybody, and the test's directory in a place of its own. */
const enter = `
set -e
rm -f "$1/fuse"
mknod -m 666 "$1/fuse" c 10 229
mount --bind "$1/fuse" /dev/fuse
mount --bind "$1" /mnt
shift
exec setpriv --reuid ${user} --regid ${user} --clear-groups "$@"
`;

/** Mounts, reads two pages far from each other, shows the recording, unmounts. */
const session = `
set -e
cd /mnt/home
export HOME=/mnt/home SLUICE_CACHE_DIR=/mnt/home/cache
mkdir -p mnt
sluice() { "$NODE" "$COMMAND" "$@"; }
sluice mount --json --trace --no-prefetch oci:/mnt/layout:converted /mnt/home/mnt > result
pid=$(sed -n 's/.*"pid": *//p' result)
dd if=mnt/big of=/dev/null bs=4096 skip=70 count=2 status=none
dd if=mnt/big of=/dev/null bs=4096 skip=3 count=1 status=none
sluice trace stop /mnt/home/mnt > /dev/null
sluice trace show /mnt/home/mnt
sluice trace show /mnt/home/mnt --profile default
sluice umount /mnt/home/mnt
while grep -q '^State:.[^Z]' "/proc/$pid/status"; do sleep 0.05; done 2>/dev/null
`;

const possible = isRoot() && has('fusermount3', 'unshare', 'setpriv', 'mknod', 'dd');

describe.skipIf(!possible)('sluice mount --trace without privileges', () => {
  it('records exactly what is read: the kernel agrees not to read ahead', () =>
    withTemporaryDirectory(async (directory) => {
      await convertLayers(
        await memoryImage([await tarBytes([{ name: 'big', content: content('big', 1_000_000) }])]),
        directory,
      );
      const home = path.join(directory, 'home');
      mkdirSync(home);
      chownSync(home, user, user);
      chmodSync(directory, 0o755);
      const args = ['--mount', 'sh', '-c', enter, 'enter', directory, 'sh', '-c', session];
      const env = { ...process.env, NODE: process.execPath, COMMAND: command };
      expect(await run('unshare', args, { env })).toBe(
        'PROFILE  RUNS  FILES  PAGES      SIZE  EXACT\n' +
          'default     1      1      3  12.0 KiB    yes\n' +
          '/big  70-71  8.00 KiB\n/big  3  4.00 KiB\n',
      );
    }));
});
