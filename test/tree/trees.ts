import { type ByteString, byteStringFromText } from '../../src/byte-string.ts';
import {
  type DirectoryInode,
  type Inode,
  type InodeAttributes,
  noXattrs,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFREG,
} from '../../src/erofs/inode.ts';
import { applyLayer } from '../../src/tree/apply-layer.ts';
import type { LayerEntry } from '../../src/tree/layer-entry.ts';
import { emptyDirectory } from '../../src/tree/layer-path.ts';
import { countLinks, walk } from '../../src/tree/walk.ts';

export type More = Partial<InodeAttributes>;

function base(path: string, mode: number, more: More) {
  return {
    path: path as ByteString,
    uid: 0,
    gid: 0,
    mtime: 1_700_000_000,
    mtimeNs: 0,
    xattrs: noXattrs,
    ...more,
    mode,
  };
}

export const dir = (path: string, more: More = {}): LayerEntry => ({
  ...base(path, S_IFDIR | (more.mode ?? 0o755), more),
  kind: 'directory',
});

/** A file; its size tells it from others, for trees hold no content. */
export const file = (path: string, size = 1, more: More = {}): LayerEntry => ({
  ...base(path, S_IFREG | (more.mode ?? 0o644), more),
  kind: 'file',
  size,
  extents: [{ offset: 0, length: size, device: 0, deviceOffset: 0 }],
});

export const link = (path: string, target: string, more: More = {}): LayerEntry => ({
  ...base(path, S_IFLNK | (more.mode ?? 0o777), more),
  kind: 'symlink',
  target: target as ByteString,
});

export const hard = (path: string, target: string, more: More = {}): LayerEntry => ({
  ...base(path, S_IFREG | (more.mode ?? 0o644), more),
  kind: 'hardlink',
  target: target as ByteString,
});

export const fifo = (path: string, more: More = {}): LayerEntry => ({
  ...base(path, S_IFIFO | (more.mode ?? 0o644), more),
  kind: 'special',
  major: 0,
  minor: 0,
});

export const xattrs = (record: Record<string, string>): ReadonlyMap<ByteString, Uint8Array> =>
  new Map(Object.entries(record).map(([name, value]) => [byteStringFromText(name), Buffer.from(value)]));

/** The tree of layers applied one after the other. */
export function merged(...layers: readonly (readonly LayerEntry[])[]): DirectoryInode {
  const root = emptyDirectory();
  for (const layer of layers) applyLayer(root, layer);
  return root;
}

/** One line a name, short: `d a`, `f a/x 1`, `l s -> a`, `p q`, with `=first/name` where links share an inode. */
export function show(root: DirectoryInode): string[] {
  const counts = countLinks(root);
  const first = new Map<Inode, string>();
  const lines: string[] = [];
  for (const { path, inode } of walk(root)) {
    if (path === '') continue;
    const leader = first.get(inode) ?? path;
    first.set(inode, leader);
    const shared = inode.kind !== 'directory' && (counts.get(inode) ?? 0) > 1 ? ` =${leader}` : '';
    lines.push(`${describe(path, inode)}${shared}`);
  }
  return lines;
}

function describe(path: string, inode: Inode): string {
  switch (inode.kind) {
    case 'directory':
      return `d ${path}`;
    case 'file':
      return `f ${path} ${inode.size}`;
    case 'symlink':
      return `l ${path} -> ${inode.target}`;
    case 'special':
      return `p ${path}`;
  }
}

/** The inode at a path; fails when there is none. */
export function at(root: DirectoryInode, path: string): Inode {
  for (const found of walk(root)) if (found.path === path) return found.inode;
  throw new Error(`no "${path}" in the tree`);
}
