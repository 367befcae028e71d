import { mkdir } from 'node:fs/promises';
import { type ByteString, displayText } from '../byte-string.ts';
import type { DirectoryInode, FileInode } from '../erofs/inode.ts';
import { UsageError } from '../errors.ts';
import { annotation } from '../image/annotations.ts';
import { openChunks } from '../image/open-chunks.ts';
import { isSluice, type OpenImage } from '../image/open-image.ts';
import { readExtents } from '../image/read-extents.ts';
import { RecentChunks } from '../image/recent-chunks.ts';
import { type ResolvedImage, resolveConfig, resolveManifest } from '../image/resolve.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobSource, ImageSource, Platform } from '../oci/image.ts';
import { compareTrees } from '../tree/compare.ts';
import { hashFile, hashPages } from './content-hash.ts';
import type { Problems } from './problem.ts';
import { type ContentDigest, readSourceTree } from './source-tree.ts';

/** Files read at the same time: their chunks are then fetched in few requests. */
const concurrency = 16;

/** What was compared. */
export interface ComparedSource {
  readonly image: string;
  readonly manifest: Digest;
  /** Whether the converted image says that it was made from this manifest. */
  readonly isRecorded: boolean;
  /** Files with content, and bytes of it, that were compared; hard links count once. */
  readonly files: number;
  readonly bytes: number;
}

/**
 * Finds the image a check compares with.
 * @throws {UsageError} SLUICE_OPTION_INVALID when it is a converted image itself
 * @throws {NotFoundError} SLUICE_IMAGE_NOT_FOUND, SLUICE_PLATFORM_NOT_FOUND
 */
export async function resolveSource(
  source: ImageSource,
  platform: Platform | undefined,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  const raw = await resolveManifest(source, platform, (manifest) => !isSluice(manifest), signal);
  const resolved = await resolveConfig(source, raw, signal);
  if (!isSluice(resolved.manifest)) return resolved;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot compare with ${source.reference}: it is a sluice image; want the one it was converted from`,
  );
}

export interface CompareOptions {
  readonly image: OpenImage;
  /** Of the image's bootstrap. */
  readonly tree: DirectoryInode;
  /** Where the image's content comes from. */
  readonly blobs: BlobSource;
  readonly source: ImageSource;
  readonly resolved: ResolvedImage;
  readonly workDirectory: string;
  readonly problems: Problems;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

/** The same file of both images. */
interface Pair {
  readonly path: ByteString;
  readonly content: ContentDigest;
  readonly file: FileInode;
}

/**
 * Compares every file, attribute and byte of an image with the image it was converted from. Differences go to
 * `problems`.
 * @throws what `readSourceTree()` throws: the source's own damage
 */
export async function compareSource(options: CompareOptions): Promise<ComparedSource> {
  const { image, tree, source, resolved, workDirectory, problems, report, signal } = options;
  await mkdir(workDirectory, { recursive: true, mode: 0o700 });
  const unpacked = await readSourceTree(source, resolved, workDirectory, report, signal);
  const pairs: Pair[] = [];
  const differences = compareTrees(unpacked.tree, tree, (path, original, file) => {
    const content = unpacked.contents.get(original.extents);
    if (content !== undefined) pairs.push({ path, content, file });
  });
  for (const { path, what, expected, actual } of differences) addDifference(problems, path, what, expected, actual);
  report(`comparing the content of ${pairs.length} files`);
  await compareContents(options, pairs);
  const manifest = resolved.raw.descriptor.digest;
  return {
    image: source.reference,
    manifest,
    isRecorded: image.manifest.annotations[annotation.source] === manifest,
    files: pairs.length,
    bytes: pairs.reduce((sum, { file }) => sum + file.size, 0),
  };
}

async function compareContents(options: CompareOptions, pairs: readonly Pair[]): Promise<void> {
  const { image, blobs, problems, signal } = options;
  const open = openChunks(blobs, image);
  const chunks = new RecentChunks(open.chunks);
  const queue = pairs.values();
  const work = async (): Promise<void> => {
    for (const { path, content, file } of queue) {
      const pieces = readExtents(image.bootstrap, chunks, file.extents, signal);
      try {
        const actual = await (content.kind === 'file' ? hashFile(pieces, file.size) : hashPages(pieces));
        if (actual !== content.digest) addDifference(problems, path, 'content', content.digest, actual);
      } catch (error) {
        problems.addError(error, { paths: [shown(path)] });
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, work));
  } finally {
    open.close();
  }
}

function addDifference(problems: Problems, path: ByteString, what: string, expected: string, actual: string): void {
  const message = `Cannot match "${shown(path)}": ${what} differs, want ${brief(expected)}, got ${brief(actual)}`;
  problems.add({ code: 'SLUICE_SOURCE_DIFFERS', message, paths: [shown(path)], what, expected, actual });
}

function shown(path: ByteString): string {
  return `/${displayText(path)}`;
}

/** For messages: xattrs may be long. */
function brief(text: string): string {
  return text.length > 200 ? `"${text.slice(0, 200)}…"` : `"${text}"`;
}
