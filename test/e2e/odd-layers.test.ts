import { stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTarget } from '../../src/transport/open.ts';
import { memoryImage, putImage, type TarMember, tarBytes } from '../support/image.ts';
import { withKernelMount } from '../support/kernel-mount.ts';
import { differenceFromContainerd, unpackReference } from '../support/reference.ts';
import { convert, withMount } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { layoutConfig, layoutManifest, slow, unpackDevices } from './converted.ts';

const directory = (name: string, mode = 0o755): TarMember => ({ name, type: 'directory', mode });
const link = (name: string, linkname: string): TarMember => ({ name, type: 'symlink', linkname, mode: 0o777 });
const file = (name: string, content = name): TarMember => ({ name, content });

/** Layers of files that no build makes and every unpacker meets. */
const images: Record<string, TarMember[][]> = {
  'paths through links of lower layers': [
    [
      ...['plain/', 'absolute/', 'opaque/', 'chain/'].map((name) => directory(name, 0o2711)),
      ...['opaque/a', 'afile', 'tofile'].map((name) => file(name)),
      link('link-plain', 'plain'),
      link('link-absolute', '/absolute'),
      link('link-opaque', 'opaque'),
      link('link-link', 'link-chain'),
      link('link-chain', './chain/../chain'),
      link('link-nowhere', 'nowhere/at/all'),
      link('link-file', 'tofile'),
    ],
    [
      file('link-plain/new'),
      file('link-absolute/deep/new'),
      file('link-opaque/.wh..wh..opq', ''),
      file('link-link/new'),
      file('link-nowhere/new'),
      file('link-file/new'),
      file('afile/new'),
      link('own', 'link-chain/sub'),
      file('own/new'),
    ],
  ],
  'paths through links of the same layer': [
    [directory('a/'), file('a/x'), file('a/y')],
    [
      link('s', 'a'),
      file('s/new'),
      file('s/.wh.x', ''),
      link('t', '/a/sub'),
      file('t/new'),
      link('u', 't'),
      file('u/more'),
    ],
  ],
  'layers without content': [
    [directory('a/', 0o700), file('a/empty', '')],
    [file('a/content', 'x'.repeat(5000))],
    [link('a/link', 'content'), directory('b/')],
  ],
  'nothing at all': [[directory('./')]],
};

const tools = has('containerd', 'ctr', 'skopeo', 'getfattr', 'zstd', 'tar', 'fsck.erofs');

describe.skipIf(!tools || !isRoot())('an image of', slow, () => {
  it.each(Object.entries(images))('%s is mounted as containerd unpacks it', (_, layers) =>
    withTemporaryDirectory(async (folder) => {
      const [source, converted] = [path.join(folder, 'source'), path.join(folder, 'converted')];
      const target = openTarget(`oci:${source}:odd`, {});
      await putImage(target, memoryImage(await Promise.all(layers.map(tarBytes))));
      await target.close();
      const reference = await unpackReference(source, 'odd');
      const cache = ['--cache-dir', path.join(folder, 'cache')];
      await convert([...cache, `oci:${source}:odd`, `oci:${converted}:odd`]);

      const manifest = await layoutManifest(converted, 'odd');
      const { bootstrap, devices } = await unpackDevices(converted, manifest, folder);
      const sizes = await Promise.all(devices.map(async (device) => (await stat(device)).size));
      expect(sizes.length).toBe((await layoutConfig(converted, manifest)).rootfs.diff_ids.length - 1);
      const compare = async (mounted: string): Promise<void> =>
        expect(await differenceFromContainerd(reference, mounted, { content: true })).toEqual([]);
      await withKernelMount(bootstrap, devices, compare);
      await withMount([...cache, `oci:${converted}:odd`], compare);
    }),
  );
});
