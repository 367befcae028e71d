import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { convertImage } from '../../src/convert/convert-image.ts';
import { defaultParameters } from '../../src/convert/parameters.ts';
import { openLayoutImage } from '../../src/layout/layout-folder.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { type Digest, digestHex } from '../../src/oci/digest.ts';
import type { ImageSource } from '../../src/oci/image.ts';
import { content } from './content.ts';
import { type MemoryImage, memoryImage, putImage, type TarMember, tarBytes } from './image.ts';

/** The image under a tag of the OCI layout `layout`. */
export function layoutImage(layout: string, tag: string): ImageSource {
  return openLayoutImage({ transport: 'oci', path: layout, tag });
}

/** Stores an image under `tag` and converts it to `TAG-sluice`, in the same layout. */
export async function convertInto(layout: string, tag: string, image: MemoryImage, dropHidden = false): Promise<void> {
  await putImage(openLayoutTarget({ transport: 'oci', path: layout, tag }), image);
  await convertImage({
    source: layoutImage(layout, tag),
    target: openLayoutTarget({ transport: 'oci', path: layout, tag: `${tag}-sluice` }),
    workDirectory: path.join(layout, '..', 'convert'),
    parameters: { ...defaultParameters, level: 1, dropHidden },
    workers: 1,
  });
}

/** The file of a blob of an OCI layout. */
export function blobFile(layout: string, digest: Digest): string {
  return path.join(layout, 'blobs', 'sha256', digestHex(digest));
}

/** Flips one bit of a file. @param offset - from its end when negative */
export async function flipBit(file: string, offset: number): Promise<void> {
  const bytes = await readFile(file);
  const at = offset < 0 ? bytes.length + offset : offset;
  bytes[at]! ^= 0x10;
  await writeFile(file, bytes);
}

/** A file capability as the kernel wants it: revision 2, CAP_NET_BIND_SERVICE permitted (linux/capability.h). */
const capability = `\x01\0\0\x02\0\x04${'\0'.repeat(14)}`;

const hello: Partial<TarMember> = {
  mode: 0o4755,
  uid: 70_000,
  gid: 5,
  pax: { 'SCHILY.xattr.user.note': 'one', 'SCHILY.xattr.security.capability': capability },
};

/** Two layers with everything a tree can have, whiteouts included; the members of the second can be replaced. */
async function richLayers(change: Partial<TarMember> = {}): Promise<readonly [Uint8Array, Uint8Array]> {
  const lower: TarMember[] = [
    { name: './', type: 'directory', mode: 0o755 },
    { name: 'etc/', type: 'directory', mode: 0o755 },
    { name: 'dev/', type: 'directory', mode: 0o755 },
    { name: 'etc/hello', content: 'hello\n', ...hello },
    { name: 'etc/link', type: 'symlink', linkname: '../var/data' },
    { name: 'etc/again', type: 'link', linkname: 'etc/hello', ...hello },
    { name: 'var/', type: 'directory', mode: 0o1777 },
    { name: 'var/data', content: content('data', 700_000) },
    { name: 'var/empty', content: '' },
    { name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666 },
    { name: 'dev/pipe', type: 'fifo', mode: 0o600 },
    { name: 'hidden/', type: 'directory' },
    { name: 'hidden/file', content: content('hidden', 300_000) },
    { name: 'hidden/link', type: 'link', linkname: 'hidden/file' },
    { name: 'replaced', content: content('replaced', 90_000) },
    { name: 'opaque/', type: 'directory' },
    { name: 'opaque/old', content: 'old\n' },
  ];
  const upper: TarMember[] = [
    { name: '.wh.hidden', content: '' },
    { name: 'opaque/', type: 'directory', mode: 0o750 },
    { name: 'opaque/.wh..wh..opq', content: '' },
    { name: 'opaque/new', content: 'new\n' },
    { name: 'replaced/', type: 'directory' },
    { name: 'replaced/inside', content: content('data', 700_000) },
    { name: 'changed', content: 'same length', pax: { mtime: '1700000000.000000007' }, ...change },
  ];
  return [await tarBytes(lower), await tarBytes(upper)];
}

/** An image of {@link richLayers}, with a history of a line a layer. */
export async function richImage(change: Partial<TarMember> = {}): Promise<MemoryImage> {
  return memoryImage(await richLayers(change), { config: { Cmd: ['/bin/true'], Labels: { a: 'b' } } });
}
