import { mkdir, readFile, rename } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ByteString } from '../../src/byte-string.ts';
import { Containerd } from './containerd.ts';
import { unmountBelow } from './mounts.ts';
import { run } from './process.ts';
import { withTemporaryDirectory } from './temporary.ts';
import { difference, type SummaryOptions, summarise, type TreeEntry, type TreeSummary } from './tree-summary.ts';

interface LayoutManifest {
  readonly layers: readonly { readonly digest: string }[];
}

const blobPath = (layout: string, digest: string): string => path.join(layout, 'blobs', ...digest.split(':'));
const readJson = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

async function manifestOf(layout: string, tag: string): Promise<LayoutManifest & { digest: string }> {
  const index = (await readJson(path.join(layout, 'index.json'))) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const found = index.manifests.find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag);
  if (found === undefined) throw new Error(`Cannot find "${tag}" in the layout "${layout}"`);
  return { ...((await readJson(blobPath(layout, found.digest))) as LayoutManifest), digest: found.digest };
}

/** Unpacks once a test run: the tree lies in the run's temporary directory and goes away with it. */
async function once(name: string, unpack: (into: string) => Promise<void>): Promise<string> {
  const trees = path.join(os.tmpdir(), 'reference');
  await mkdir(trees, { recursive: true });
  const tree = path.join(trees, name);
  const exists = await readFile(path.join(tree, 'done')).then(
    () => true,
    () => false,
  );
  if (exists) return path.join(tree, 'rootfs');
  const made = `${tree}.${process.pid}`;
  await mkdir(made);
  await unpack(path.join(made, 'rootfs'));
  await run('touch', [path.join(made, 'done')]);
  // Another test file may have been as fast: the same tree lies there then.
  await rename(made, tree).catch(() => undefined);
  return path.join(tree, 'rootfs');
}

/**
 * The judge's tree: an image unpacked by containerd onto overlayfs, and copied from there.
 * @returns a directory, to be read only; {@link differenceFromContainerd} knows what containerd cannot keep
 */
export async function unpackReference(layout: string, tag: string): Promise<string> {
  const manifest = await manifestOf(layout, tag);
  return once(manifest.digest.replace(':', '-'), (into) =>
    withTemporaryDirectory(async (directory) => {
      const [archive, view] = [path.join(directory, 'image.tar'), path.join(directory, 'view')];
      await mkdir(view);
      await run('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${layout}:${tag}`, `oci-archive:${archive}:${tag}`]);
      const containerd = await Containerd.start();
      try {
        await containerd.ctr('images', 'import', '--base-name', 'reference', archive);
        await containerd.ctr('images', 'mount', `reference:${tag}`, view);
        await run('cp', ['-a', '--sparse=always', view, into]);
      } finally {
        unmountBelow(view);
        await containerd.stop();
      }
    }),
  );
}

/**
 * An image without whiteouts unpacked by GNU tar, which reads every dialect of sparse files and keeps every attribute.
 * @returns a directory, to be read only
 */
export async function unpackWithTar(layout: string, tag: string): Promise<string> {
  const manifest = await manifestOf(layout, tag);
  return once(`tar-${manifest.digest.replace(':', '-')}`, async (into) => {
    await mkdir(into);
    for (const { digest } of manifest.layers) {
      const attributes = ['--numeric-owner', '--same-permissions', '--xattrs', '--xattrs-include=*', '--warning=none'];
      await run('tar', ['-C', into, ...attributes, '-xf', blobPath(layout, digest)]);
    }
  });
}

type Change = (entry: TreeEntry, path: ByteString) => TreeEntry;

const mapEntries = (summary: TreeSummary, change: Change): TreeSummary =>
  new Map(Array.from(summary, ([path, entry]) => [path, change(entry, path)]));

const isTrusted = (xattr: string): boolean => xattr.startsWith('trusted.');

/** containerd drops trusted.* and takes the epoch for every time before it; images have to keep both. */
const asContainerdKeepsIt: Change = (entry) => ({
  ...entry,
  mtime: entry.mtime.startsWith('-') ? '0' : entry.mtime,
  xattrs: entry.xattrs
    .split(' ')
    .filter((xattr) => !isTrusted(xattr))
    .join(' '),
});

const summaries = new Map<string, Promise<TreeSummary>>();

/** A reference does not change: it is walked once, however many trees are compared with it. */
function summariseOnce(reference: string, options: SummaryOptions): Promise<TreeSummary> {
  const key = `${options.content === true} ${reference}`;
  const summary = summaries.get(key) ?? summarise(reference, options);
  summaries.set(key, summary);
  return summary;
}

/** All images are older than this. A directory that is younger has no entry of its own, or was changed after it. */
const unpackedSince = BigInt(Date.UTC(2026, 0)) * 1_000_000n;

/**
 * Compares a tree with containerd's, but for what containerd cannot keep: trusted.* attributes, times before 1970, and
 * the times of directories that a layer changed without an entry of their own.
 * @param reference - of {@link unpackReference}
 * @returns a line for every difference
 */
export async function differenceFromContainerd(
  reference: string,
  directory: string,
  options: SummaryOptions = {},
): Promise<string[]> {
  const [expected, actual] = [await summariseOnce(reference, options), await summarise(directory, options)];
  const isTimeless = (path: ByteString): boolean => {
    const entry = expected.get(path);
    return entry?.kind === 'd' && BigInt(entry.mtime) > unpackedSince;
  };
  const comparable: Change = (entry, path) => ({
    ...asContainerdKeepsIt(entry, path),
    ...(isTimeless(path) ? { mtime: '' } : {}),
  });
  return difference(mapEntries(expected, comparable), mapEntries(actual, comparable));
}
