import path from 'node:path';
import { type ByteString, byteStringFromText } from '../../src/byte-string.ts';
import { convertImage } from '../../src/convert/convert-image.ts';
import { defaultParameters } from '../../src/convert/parameters.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../../src/erofs/inode.ts';
import type { TarEntry, TarEntryType } from '../../src/tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/tar/writer.ts';
import { openSource, openTarget } from '../../src/transport/open.ts';
import type { TestEntry } from './conformance-tree.ts';
import { memoryImage, putImage } from './image.ts';

const types: Readonly<Record<number, TarEntryType>> = {
  [S_IFREG]: 'file',
  [S_IFDIR]: 'directory',
  [S_IFLNK]: 'symlink',
  [S_IFCHR]: 'char',
  [S_IFBLK]: 'block',
  [S_IFIFO]: 'fifo',
};

function tarEntry(entry: TestEntry): TarEntry {
  const { mode, rdev = 0, data = [], linkTo, target, xattrs = {} } = entry;
  const last = data.at(-1);
  const isLink = linkTo !== undefined;
  return {
    path: (entry.path || './') as ByteString,
    type: isLink ? 'hardlink' : (types[mode & S_IFMT] ?? 'file'),
    mode: mode & 0o7777,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    size: isLink ? 0 : (entry.size ?? (last === undefined ? 0 : last.offset + last.bytes.length)),
    mtime: entry.mtime ?? 0,
    mtimeNs: entry.mtimeNs ?? 0,
    linkTarget: (linkTo ?? target ?? '') as ByteString,
    // Linux's 32-bit encoding: 12 bits of major in the middle of 20 bits of minor.
    major: (rdev >> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    xattrs: new Map(Object.entries(xattrs).map(([name, value]) => [byteStringFromText(name), value])),
    sparse: entry.size === undefined ? undefined : data.map(({ offset, bytes }) => ({ offset, length: bytes.length })),
  };
}

/** The tree as one layer. */
function treeTar(entries: readonly TestEntry[]): Uint8Array {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const parts = entries.flatMap((entry) => {
    const content = (entry.data ?? []).map(({ bytes }) => bytes);
    const length = content.reduce((sum, bytes) => sum + bytes.length, 0);
    // The attributes of a hard link's entry become those of the inode.
    const attributes = entry.linkTo === undefined ? entry : { ...byPath.get(entry.linkTo), ...entry };
    return [tarHeader(tarEntry(attributes)), ...content, tarPadding(length)];
  });
  return Buffer.concat([...parts, tarEnd]);
}

/**
 * Makes an image of a tree and converts it.
 * @param directory - for everything on the way; the caller removes it
 * @param target - where the result goes: `oci:DIR:TAG`, `docker://HOST/NAME:TAG`; default: a layout in `directory`
 * @returns `target`
 */
export async function convertTree(
  entries: readonly TestEntry[],
  directory: string,
  target: string = `oci:${path.join(directory, 'layout')}:converted`,
): Promise<string> {
  const original = `oci:${path.join(directory, 'layout')}:original`;
  await putImage(openTarget(original, {}), memoryImage([treeTar(entries)], { compression: 'none' }));
  const source = openSource(original, {});
  const destination = openTarget(target, {});
  try {
    const workDirectory = path.join(directory, 'work');
    await convertImage({ source, target: destination, workDirectory, parameters: defaultParameters });
  } finally {
    await Promise.all([source.close(), destination.close()]);
  }
  return target;
}
