import { displayText } from '../byte-string.ts';
import { BLOCK_SIZE, DEVICE_SLOT_SIZE, fileTypeOfMode, SLOT_SIZE, SUPER_OFFSET } from './format.ts';
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from './inode.ts';
import type { ErofsInode } from './inode-reader.ts';
import type { ErofsReader } from './reader.ts';
import { DEVICE_TABLE_OFFSET } from './superblock.ts';

/** By FT_*. */
const typeNames = ['unknown', 'file', 'directory', 'character device', 'block device', 'fifo', 'socket', 'symlink'];
/** Longer values are cut: a dump is to be read. */
const shownValueBytes = 32;

/**
 * Describes an image for people: superblock, device table, then every inode once, depth first, each line of a
 * structure's start with its byte offset, to lay beside a hexdump.
 *
 * @returns lines without line ends, made as they are asked for
 * @throws {FormatError} SLUICE_EROFS_* where the image is broken, after the lines before it
 */
export function* dumpErofs(reader: ErofsReader): Generator<string> {
  yield* dumpSuperblock(reader);
  const seen = new Set<number>();
  const open = [{ nid: reader.rootNid, path: '/' }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next.nid)) continue;
    seen.add(next.nid);
    const inode = reader.inode(next.nid);
    yield* dumpInode(reader, inode, next.path);
    if ((inode.mode & S_IFMT) !== S_IFDIR) continue;
    const below: typeof open = [];
    for (const { name, nid, index } of reader.readDirectory(next.nid)) {
      yield `    ${index} "${displayText(name)}" nid ${nid}`;
      const path = `${next.path === '/' ? '' : next.path}/${displayText(name)}`;
      if (name !== '.' && name !== '..') below.push({ nid, path });
    }
    open.push(...below.reverse());
  }
}

function* dumpSuperblock({ superblock }: ErofsReader): Generator<string> {
  const { featureCompat, featureIncompat, checksum, buildTime, uuid, devices } = superblock;
  yield `${hex(SUPER_OFFSET)} superblock, checksum ${hex(checksum)}`;
  yield `    features: compat ${hex(featureCompat)}, incompat ${hex(featureIncompat)}`;
  yield `    root nid ${superblock.rootNid}, ${superblock.inodeCount} inodes, ${superblock.blocks} blocks`;
  yield `    inodes from block ${superblock.metaBlkaddr}, shared xattrs from block ${superblock.xattrBlkaddr}`;
  yield `    built ${buildTime}, uuid ${Buffer.from(uuid).toString('hex')}`;
  for (const [index, { tag, blocks }] of devices.entries()) {
    yield `${hex(DEVICE_TABLE_OFFSET + index * DEVICE_SLOT_SIZE)} device ${index}: ${tag}, ${blocks} blocks`;
  }
}

function* dumpInode(reader: ErofsReader, inode: ErofsInode, path: string): Generator<string> {
  const { nid, mode, size, uid, gid, mtime, mtimeNs, nlink, rdev, layout } = inode;
  const offset = reader.superblock.metaBlkaddr * BLOCK_SIZE + nid * SLOT_SIZE;
  yield `${hex(offset)} nid ${nid}: ${typeNames[fileTypeOfMode(mode)]} ${path}`;
  const time = `mtime ${mtime} s ${mtimeNs} ns`;
  yield `    mode 0${mode.toString(8)}, owner ${uid}:${gid}, ${size} bytes, ${nlink} links, ${time}, ${layout}`;
  for (const [name, value] of reader.xattrs(nid)) {
    const shown = Buffer.from(value.subarray(0, shownValueBytes)).toString('hex');
    const cut = value.length > shownValueBytes ? '…' : '';
    yield `    xattr ${displayText(name)}: ${value.length} bytes 0x${shown}${cut}`;
  }
  if (rdev.major !== 0 || rdev.minor !== 0) yield `    device number ${rdev.major}:${rdev.minor}`;
  if ((mode & S_IFMT) === S_IFLNK) yield `    target "${displayText(reader.readlink(nid))}"`;
  if ((mode & S_IFMT) === S_IFREG) yield* dumpSegments(reader, inode);
}

function* dumpSegments(reader: ErofsReader, { nid, size }: ErofsInode): Generator<string> {
  for (const segment of reader.mapRange(nid, 0, size)) {
    const place =
      segment.kind === 'device' ? ` device ${segment.device} at ${segment.deviceOffset}` : ` ${segment.kind}`;
    yield `    ${segment.fileOffset}+${segment.length}:${place}`;
  }
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
