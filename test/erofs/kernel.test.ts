import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DirectoryInode, type FileInode, type Inode, S_IFMT, S_IFREG } from '../../src/erofs/inode.ts';
import { writeErofs } from '../../src/erofs/writer.ts';
import { loadNative, nativeMissingReason } from '../../src/native.ts';
import { content } from '../support/content.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory, withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot, reportMissing } from '../support/tools.ts';
import { devices, directory, extent, file, fixedTree, name, options, recordsOf, trees } from './trees.ts';

const native = loadNative();
if (native === undefined) reportMissing(`cannot mount without the addon: ${nativeMissingReason()}`);
const canMount = native !== undefined && isRoot() && has('python3');

const deviceBytes = devices.map(({ tag, blocks }) => content(tag, blocks * 4096));
let deviceFolder: string | undefined;
let devicePaths: readonly string[] = [];

beforeAll(() => {
  const folder = makeTemporaryDirectory();
  deviceFolder = folder;
  devicePaths = deviceBytes.map((bytes, index) => {
    writeFileSync(`${folder}/device${index}`, bytes);
    return `${folder}/device${index}`;
  });
});

afterAll(async () => {
  if (deviceFolder !== undefined) await removeTemporaryDirectory(deviceFolder);
});

/** walk.py reads no larger files. */
const hashedBytes = 64 << 20;

/** What walk.py prints, but for inode numbers. */
interface KernelRecord {
  readonly path: string;
  readonly ino: number;
  readonly xattrs: Readonly<Record<string, string>>;
}

async function walkMounted(root: DirectoryInode): Promise<KernelRecord[]> {
  return await mounted(writeErofs(root, devices, options), async (target) => {
    const lines = await run('python3', [new URL('walk.py', import.meta.url).pathname, target]);
    return lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as KernelRecord);
  });
}

async function mounted<Result>(image: Uint8Array, use: (target: string) => Promise<Result>): Promise<Result> {
  return await withTemporaryDirectory(async (folder) => {
    const target = `${folder}/mnt`;
    await run('mkdir', [target]);
    writeFileSync(`${folder}/image`, image);
    native?.mountErofs(`${folder}/image`, target, devicePaths);
    return await use(target);
  });
}

function expectedRecords(root: DirectoryInode): unknown[] {
  return recordsOf(root).map(({ path, inode, nlink }) => ({
    path,
    mode: inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    mtime: String(BigInt(inode.mtime) * 1_000_000_000n + BigInt(inode.mtimeNs)),
    nlink,
    size: sizeOf(inode),
    device: inode.kind === 'special' ? [inode.major, inode.minor] : [0, 0],
    target: inode.kind === 'symlink' ? inode.target : null,
    content: inode.kind === 'file' && inode.size <= hashedBytes ? contentOf(inode) : null,
    xattrs: visibleXattrs(inode),
  }));
}

function sizeOf(inode: Inode): number | null {
  if (inode.kind === 'directory') return null;
  if (inode.kind === 'file') return inode.size;
  return inode.kind === 'symlink' ? inode.target.length : 0;
}

function contentOf({ size, extents }: FileInode): string {
  const bytes = Buffer.alloc(size);
  for (const { offset, length, device, deviceOffset } of extents) {
    bytes.set(deviceBytes[device]!.subarray(deviceOffset, deviceOffset + length), offset);
  }
  return createHash('sha256').update(bytes).digest('hex');
}

/** Linux hides namespaces it does not know, user.* of anything but files and directories, and ACLs of symlinks. */
function visibleXattrs(inode: Inode): Readonly<Record<string, string>> {
  const plain = inode.kind === 'directory' || inode.kind === 'file';
  const shown = [...inode.xattrs].filter(([key]) => {
    if (key.startsWith('user.')) return plain;
    if (key.startsWith('system.posix_acl_')) return inode.kind !== 'symlink';
    return key.startsWith('trusted.') || key.startsWith('security.');
  });
  return Object.fromEntries(shown.map(([key, value]) => [key, Buffer.from(value).toString('hex')]));
}

async function expectKernelToSee(root: DirectoryInode): Promise<void> {
  const records = await walkMounted(root);
  const byPath = new Map(records.map((record) => [record.path, record]));
  for (const { path, first } of recordsOf(root)) {
    expect(byPath.get(path)?.ino, `${path} is ${first}`).toBe(byPath.get(first)?.ino);
  }
  const seen = records.map(({ ino: _, ...rest }) => rest).sort((a, b) => (a.path < b.path ? -1 : 1));
  expect(seen).toEqual(expectedRecords(root));
}

describe.skipIf(!canMount)('an image mounted by Linux', () => {
  it('shows the fixed tree', async () => {
    await expectKernelToSee(fixedTree());
  });

  it('shows any tree', async () => {
    await fc.assert(fc.asyncProperty(trees, expectKernelToSee), { numRuns: 15, interruptAfterTimeLimit: 5000 });
  });

  it('shows the borders of inline data: names, targets and xattrs that just fit a block or just do not', async () => {
    const children: Record<string, Inode> = {};
    for (const size of [3900, 3968, 4000, 4031, 4032, 4033, 4064, 4065, 4095]) {
      children[`link-${size}`] = { ...file(0), kind: 'symlink', mode: 0o120777, target: name('t'.repeat(size)) };
      children[`xattr-${size}`] = file(4097, [extent(0, 4096)], {
        xattrs: new Map([[name('user.x'), Buffer.alloc(size, 'x')]]),
      });
      const names = Array.from({ length: 20 }, (_, i) => [`${i}-`.padEnd(Math.min(255, size / 20 - 14), 'n'), file(i)]);
      const entries = Object.fromEntries(names);
      children[`directory-${size}`] = directory(entries);
    }
    await expectKernelToSee(directory(children));
  });

  it('reads files of one index and of many, at any place of a device', async () => {
    const scattered = Array.from({ length: 64 }, (_, i) => extent(i * 8192, 4096, i % 3, ((i * 389) % 1024) * 4096));
    await expectKernelToSee(
      directory({
        whole: file(4 << 20, [extent(0, 4 << 20, 2)]),
        odd: file((4 << 20) - 1, [extent(0, (4 << 20) - 1, 1)]),
        scattered: file(64 * 8192, scattered),
        high: file(33 << 20, [extent(32 << 20, 4096, 1, 4096)]),
        hole: file(20 << 20),
      }),
    );
  });

  it('has holes of any size', async () => {
    const sizes = [1, 4096, 2 ** 43, 2 ** 43 + 1, 2 ** 44 + 4097, Number.MAX_SAFE_INTEGER];
    const root = directory(Object.fromEntries(sizes.map((size) => [`${size}`, file(size)])));
    await mounted(writeErofs(root, devices, options), async (target) => {
      for (const size of sizes) {
        expect(statSync(`${target}/${size}`).size).toBe(size);
        const skip = Math.max(0, Math.floor(size / 4096) - 2);
        const tail = `dd if=${target}/${size} bs=4096 skip=${skip} status=none | tr -d '\\000' | wc -c`;
        expect((await run('sh', ['-c', tail])).trim()).toBe('0');
      }
    });
  });

  it('finds every name of a directory of 100,000', async () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `entry-${i}`);
    const root = directory({ many: directory(Object.fromEntries(names.map((key) => [key, file(0)]))) });
    await mounted(writeErofs(root, devices, options), async (target) => {
      expect(readdirSync(`${target}/many`).sort()).toEqual(names.sort());
      for (let i = 0; i < names.length; i += 101) {
        expect(statSync(`${target}/many/${names[i]}`).mode & S_IFMT).toBe(S_IFREG);
      }
      expect(() => statSync(`${target}/many/entry-100000`)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    });
  });

  it('takes 600 devices, each in its place', async () => {
    const tags = Array.from({ length: 600 }, (_, i) => ({ tag: i.toString(16).padStart(64, '0'), blocks: 1 }));
    const root = directory(Object.fromEntries(tags.map((_, i) => [`f${i}`, file(4096, [extent(0, 4096, i)])])));
    await withTemporaryDirectory(async (folder) => {
      await run('mkdir', [`${folder}/mnt`]);
      writeFileSync(`${folder}/image`, writeErofs(root, tags, options));
      const paths = tags.map((_, i) => {
        writeFileSync(`${folder}/d${i}`, content(i, 4096));
        return `${folder}/d${i}`;
      });
      native?.mountErofs(`${folder}/image`, `${folder}/mnt`, paths);
      for (let i = 0; i < 600; i += 7) {
        expect(readFileSync(`${folder}/mnt/f${i}`).equals(content(i, 4096))).toBe(true);
      }
    });
  });
});
