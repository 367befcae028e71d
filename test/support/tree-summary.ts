import { createHash } from 'node:crypto';
import { type BigIntStats, createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { type ByteString, byteString, bytesOf, displayText } from '../../src/byte-string.ts';
import { runBytes } from './process.ts';

/** What a directory tree says of one path; every field is text, ready to be compared and printed. */
export interface TreeEntry {
  /** `f` `d` `l` `c` `b` `p` `s`, as in `find -type`. */
  readonly kind: string;
  /** Permission bits with setuid, setgid and sticky, octal. */
  readonly mode: string;
  readonly owner: string;
  /** Bytes; of files and symbolic links. */
  readonly size: string;
  /** Nanoseconds since the epoch. */
  readonly mtime: string;
  /** Count of names and the first of them in byte order; empty when there is one, and for directories. */
  readonly links: string;
  /** Symbolic link's target, device's `major:minor`, or the file's sha256 when asked for. */
  readonly content: string;
  /** `name=hex` sorted by name, separated by spaces. */
  readonly xattrs: string;
}

/** Path below the summarised directory (the directory itself is the empty string) → what lies there. */
export type TreeSummary = Map<ByteString, TreeEntry>;

export interface SummaryOptions {
  /** Read every file and take its sha256. */
  readonly content?: boolean;
}

/** File type (the mode's top four bits, sys/stat.h) → its letter. */
const kinds = '?pc?d?b?f?l?s???';

interface Found {
  readonly path: ByteString;
  readonly stats: BigIntStats;
}

const concurrency = 32;

/** Calls `work` on every item, a bounded number at a time; results in the order of the items. */
async function mapConcurrently<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = new Array(items.length);
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return results;
}

/** Full path as bytes: names that are not UTF-8 survive. */
const locate = (root: Buffer, path: ByteString): Buffer =>
  path === '' ? root : Buffer.concat([root, Buffer.from('/'), bytesOf(path)]);

const join = (directory: ByteString, name: ByteString): ByteString =>
  (directory === '' ? name : `${directory}/${name}`) as ByteString;

async function listTree(root: Buffer): Promise<Found[]> {
  const found: Found[] = [{ path: byteString(new Uint8Array(0)), stats: await lstat(root, { bigint: true }) }];
  // `found` grows while it is walked: breadth first, a directory's entries together.
  for (const { path, stats } of found) {
    if (!stats.isDirectory()) continue;
    const names = await readdir(locate(root, path), { encoding: 'buffer' });
    const paths = names.map((name) => join(path, byteString(name)));
    found.push(
      ...(await mapConcurrently(paths, async (child) => ({
        path: child,
        stats: await lstat(locate(root, child), { bigint: true }),
      }))),
    );
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The names getfattr(1) prints have backslash, newline, carriage return and `=` as octal. */
const decodeOctal = (text: string): ByteString =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))) as ByteString;

/** One getfattr(1) for the whole tree: Node has no xattr calls, and a process a file would take minutes. */
async function listXattrs(directory: string): Promise<Map<ByteString, string>> {
  const output = await runBytes('getfattr', ['-R', '-h', '-P', '-d', '-m', '-', '-e', 'hex', '.'], { cwd: directory });
  const xattrs = new Map<ByteString, string>();
  for (const record of output.toString('latin1').split('\n\n')) {
    const [head, ...lines] = record.split('\n').filter((line) => line !== '');
    if (head === undefined) continue;
    const path = decodeOctal(head.replace(/^# file: (\.\/)?/, ''));
    const pairs = lines.map((line) => line.replace('=0x', '='));
    xattrs.set(path === '.' ? ('' as ByteString) : path, pairs.sort().join(' '));
  }
  return xattrs;
}

/** Inode → its names, for those with more than one. */
function hardLinkGroups(found: readonly Found[]): Map<bigint, string> {
  const names = new Map<bigint, ByteString[]>();
  for (const { path, stats } of found) {
    if (stats.isDirectory()) continue;
    const group = names.get(stats.ino);
    if (group === undefined) names.set(stats.ino, [path]);
    else group.push(path);
  }
  const groups = [...names].filter(([, paths]) => paths.length > 1);
  return new Map(groups.map(([ino, paths]) => [ino, `${paths.length} ${displayText(paths[0]!)}`]));
}

async function sha256Of(file: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

/** Linux's 64-bit dev_t (sys/sysmacros.h). */
function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

async function contentOf(file: Buffer, stats: BigIntStats, options: SummaryOptions): Promise<string> {
  if (stats.isSymbolicLink()) return displayText(byteString(await readlink(file, { encoding: 'buffer' })));
  if (stats.isCharacterDevice() || stats.isBlockDevice()) return deviceNumber(stats.rdev);
  return options.content === true && stats.isFile() ? sha256Of(file) : '';
}

/**
 * Everything lstat(2), readlink(2) and xattr(7) say of a directory tree, and its files' digests when asked for.
 * Names, targets and values are exact also when they are not UTF-8. Times of access and change are left out.
 */
export async function summarise(directory: string, options: SummaryOptions = {}): Promise<TreeSummary> {
  const root = Buffer.from(directory);
  const [found, xattrs] = await Promise.all([listTree(root), listXattrs(directory)]);
  const groups = hardLinkGroups(found);
  const entries = await mapConcurrently(found, async ({ path, stats }): Promise<[ByteString, TreeEntry]> => {
    const sized = stats.isFile() || stats.isSymbolicLink();
    const counted = !stats.isDirectory() && stats.nlink > 1n;
    return [
      path,
      {
        kind: kinds.charAt(Number(stats.mode >> 12n)),
        mode: (Number(stats.mode) & 0o7777).toString(8),
        owner: `${stats.uid}:${stats.gid}`,
        size: sized ? `${stats.size}` : '',
        mtime: `${stats.mtimeNs}`,
        links: counted ? `nlink ${stats.nlink}, found ${groups.get(stats.ino) ?? '1'}` : '',
        content: await contentOf(locate(root, path), stats, options),
        xattrs: xattrs.get(path) ?? '',
      },
    ];
  });
  return new Map(entries);
}

/** A line for every field in which two trees differ, in path order; empty when they are the same. */
export function difference(expected: TreeSummary, actual: TreeSummary): string[] {
  const paths = [...new Set([...expected.keys(), ...actual.keys()])].sort();
  return paths.flatMap((path) => {
    const [want, have] = [expected.get(path), actual.get(path)];
    const name = displayText(path) || '.';
    if (have === undefined) return [`${name}: missing`];
    if (want === undefined) return [`${name}: should not exist`];
    const fields = Object.keys(want) as (keyof TreeEntry)[];
    return fields
      .filter((field) => want[field] !== have[field])
      .map((field) => `${name}: ${field} should be "${want[field]}", is "${have[field]}"`);
  });
}
