import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import { deviceSlotFields, FEATURE_COMPAT_SB_CHKSUM, superblockFields } from '../../src/erofs/format.ts';
import type { DirectoryInode } from '../../src/erofs/inode.ts';
import { ErofsReader } from '../../src/erofs/reader.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { content } from '../support/content.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';
import { devices, directory, extent, file, fixedTree, name, options, symlink } from './trees.ts';

/** Runs a tool of erofs-utils on an image of `root` with its devices. */
async function judge(root: DirectoryInode, tool: string, args: readonly string[], damage?: (image: Buffer) => void) {
  return await withTemporaryDirectory((folder) => {
    const image = Buffer.from(writeErofs(root, devices, options).buffer);
    damage?.(image);
    writeFileSync(`${folder}/image`, image);
    const paths = devices.map(({ blocks, tag }) => {
      writeFileSync(`${folder}/${tag}`, content(tag, blocks * 4096));
      return `--device=${folder}/${tag}`;
    });
    return spawnSync(tool, [...args.map((arg) => arg.replace('{}', folder)), ...paths, `${folder}/image`]);
  });
}

describe.skipIf(!has('fsck.erofs', 'dump.erofs'))('an image judged by erofs-utils', () => {
  it('is sound for fsck.erofs', async () => {
    const { status, stderr, stdout } = await judge(fixedTree(), 'fsck.erofs', ['-d9']);
    expect([status, `${stdout}${stderr}`]).toEqual([0, expect.not.stringContaining('<E>')]);
  });

  it('is not sound for fsck.erofs once damaged', async () => {
    const { status } = await judge(fixedTree(), 'fsck.erofs', [], (image) =>
      image.fill(0xff, 8192 + 0x40, 8192 + 0x80),
    );
    expect(status).not.toBe(0);
  });

  it('has the size and features for dump.erofs that were asked for', async () => {
    const { status, stdout } = await judge(fixedTree(), 'dump.erofs', ['-s']);
    expect(status).toBe(0);
    expect(`${stdout}`).toMatch(/inode count: +\d+\n/);
    expect(`${stdout}`).toMatch(/features: +sb_csum mtime chunked_file device_table/);
  });

  it('gives fsck.erofs --extract the bytes of the devices', async () => {
    const long = [extent(0, 3 << 20, 1, 4096)];
    const stitched = [extent(0, 4096, 2, 8192), extent(4096, 4096, 0), extent(8192, 100, 1)];
    const root = directory({
      sub: directory({ long: file(3 << 20, long), stitched: file(8292, stitched) }),
      link: symlink('sub/long'),
    });
    await withTemporaryDirectory(async (folder) => {
      const { status } = await judge(root, 'fsck.erofs', [`--extract=${folder}/out`]);
      expect(status).toBe(0);
      const bytes = devices.map(({ tag, blocks }) => Buffer.from(content(tag, blocks * 4096)));
      const cut = (device: number, offset: number, length: number) => bytes[device]!.subarray(offset, offset + length);
      expect(readFileSync(`${folder}/out/link`).equals(cut(1, 4096, 3 << 20))).toBe(true);
      const parts = Buffer.concat([cut(2, 8192, 4096), cut(0, 0, 4096), cut(1, 0, 100)]);
      expect(readFileSync(`${folder}/out/sub/stitched`).equals(parts)).toBe(true);
    });
  });
});

describe.skipIf(!has('mkfs.erofs', 'setfattr'))('an image made by mkfs.erofs', () => {
  it.each([
    ['of compact inodes', ['-T1600000000']],
    ['of extended inodes', ['--preserve-mtime']],
    ['with shared xattrs', ['-x1']],
    ['of chunks in the image', ['--chunksize=4096']],
    ['of chunks in a device', ['--chunksize=8192', '--blobdev={}/blob']],
  ])('%s reads as the directory it was made from', async (_, args) => {
    await withTemporaryDirectory((folder) => {
      const source = `${folder}/source`;
      makeSource(source);
      const given = args.map((arg) => arg.replace('{}', folder));
      if (args.length > 1) writeFileSync(`${folder}/blob`, '');
      execFileSync('mkfs.erofs', [...given, `${folder}/image`, source], { stdio: 'pipe' });
      const blob = args.length > 1 ? readFileSync(`${folder}/blob`) : Buffer.alloc(0);
      const image = readFileSync(`${folder}/image`);
      // mkfs.erofs 1.5 leaves the device's size out of the table, which the reader would not read beyond.
      if (args.length > 1) setDeviceBlocks(image, blob.length / 4096);
      const reader = new ErofsReader(image);
      compare(reader, reader.rootNid, source, blob);
      const tagged = reader.lookup(reader.rootNid, name('sparse')) ?? -1;
      expect(Buffer.from(reader.xattrs(tagged).get(name('user.tag')) ?? []).toString()).toBe('value');
    });
  });

  it('that is compressed is refused', async () => {
    await withTemporaryDirectory((folder) => {
      makeSource(`${folder}/source`);
      execFileSync('mkfs.erofs', ['-zlz4hc', `${folder}/image`, `${folder}/source`], { stdio: 'pipe' });
      const open = () => {
        const reader = new ErofsReader(readFileSync(`${folder}/image`));
        return reader.inode(reader.lookup(reader.rootNid, name('text')) ?? -1);
      };
      expect(open).toThrow(expect.objectContaining({ code: 'SLUICE_EROFS_UNSUPPORTED' }));
    });
  });

  function makeSource(source: string): void {
    mkdirSync(`${source}/many`, { recursive: true });
    for (let i = 0; i < 500; i++) writeFileSync(`${source}/many/name-of-some-length-${i}`, content(i, (i * 37) % 9000));
    writeFileSync(`${source}/text`, 'text '.repeat(50_000));
    writeFileSync(`${source}/sparse`, 'start');
    truncateSync(`${source}/sparse`, 100_000);
    cpSync('/bin/echo', `${source}/program`);
    execFileSync('ln', ['-s', 'many/name', `${source}/link`]);
    execFileSync('mkfifo', [`${source}/fifo`]);
    execFileSync('setfattr', ['-n', 'user.tag', '-v', 'value', `${source}/sparse`]);
    execFileSync('setfattr', ['-n', 'user.tag', '-v', 'value', `${source}/text`]);
  }

  function setDeviceBlocks(image: Buffer, blocks: number): void {
    const slot = image.readUInt16LE(1024 + superblockFields.deviceSlotOffset) * 128;
    image.writeUInt32LE(blocks, slot + deviceSlotFields.blocks);
    const features = 1024 + superblockFields.featureCompat;
    image.writeUInt32LE(image.readUInt32LE(features) & ~FEATURE_COMPAT_SB_CHKSUM, features);
  }

  function compare(reader: ErofsReader, nid: number, path: string, blob: Buffer): void {
    const status = lstatSync(path);
    const inode = reader.inode(nid);
    expect([path, inode.mode, inode.uid, inode.gid]).toEqual([path, status.mode, status.uid, status.gid]);
    if (status.isSymbolicLink()) expect(reader.readlink(nid)).toBe(readlinkSync(path));
    if (status.isFile()) expect(readAll(reader, nid, blob).equals(readFileSync(path)), path).toBe(true);
    if (!status.isDirectory()) return;
    const names = Array.from(reader.readDirectory(nid), (item) => item.name);
    expect(names).toEqual(['.', '..', ...readdirSync(path)].sort());
    for (const child of readdirSync(path)) {
      compare(reader, reader.lookup(nid, child as ByteString) ?? -1, `${path}/${child}`, blob);
    }
  }

  function readAll(reader: ErofsReader, nid: number, blob: Buffer): Buffer {
    const { size } = reader.inode(nid);
    return Buffer.concat(
      reader.mapRange(nid, 0, size).map((segment) => {
        if (segment.kind === 'inline') return segment.bytes;
        if (segment.kind === 'hole') return Buffer.alloc(segment.length);
        return blob.subarray(segment.deviceOffset, segment.deviceOffset + segment.length);
      }),
    );
  }
});
