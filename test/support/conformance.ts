import { isUtf8 } from 'node:buffer';
import { type ExecFileOptions, execFile } from 'node:child_process';
import { constants } from 'node:fs';
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { gibibyte, manyCount, sparseRuns, type TestEntry } from './conformance-tree.ts';
import { has, isRoot } from './tools.ts';

const run = promisify(execFile);

/** Runs a program without blocking this thread, which may have reads to answer. @returns its stdout */
async function output(program: string, args: readonly string[], options: ExecFileOptions = {}): Promise<string> {
  const { stdout } = await run(program, args, { ...options, encoding: 'utf8' });
  return stdout;
}

/** Python is the client for what Node has no call for. @param script - prints JSON; `argv[1]` is the mount */
async function python(script: string, directory: string): Promise<unknown> {
  const imports = 'import ctypes, errno, json, mmap, os, sys\nat = lambda name: os.path.join(sys.argv[1], name)\n';
  return JSON.parse(await output('python3', ['-c', imports + script, directory]));
}

/** A path below the mount from one with one unit a byte. */
const pathOf = (directory: string, path: string): Buffer =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(path, 'latin1')]);

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) => String(error instanceof Error && 'code' in error ? error.code : error),
  );

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}

async function withFile<T>(path: Buffer | string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, 'r');
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** What a tree's inode has for each path, hard links resolved, and how many names it has. */
function resolveLinks(entries: readonly TestEntry[]): Map<string, { entry: TestEntry; nlink: number }> {
  const resolved = new Map<string, { entry: TestEntry; nlink: number }>();
  for (const entry of entries) {
    const inode = entry.linkTo === undefined ? { entry, nlink: 0 } : resolved.get(entry.linkTo);
    if (inode === undefined) throw new Error(`no ${entry.linkTo}`);
    inode.nlink++;
    resolved.set(entry.path, inode);
    if ((entry.mode & 0o170000) !== 0o040000) continue;
    inode.nlink = 2;
    const parent = resolved.get(entry.path.slice(0, Math.max(0, entry.path.lastIndexOf('/'))));
    if (entry.path !== '' && parent !== undefined) parent.nlink++;
  }
  return resolved;
}

const sizeOf = (entry: TestEntry): number => {
  const last = entry.data?.at(-1);
  return entry.size ?? entry.target?.length ?? (last === undefined ? 0 : last.offset + last.bytes.length);
};

const content = (entries: readonly TestEntry[], path: string): Uint8Array => {
  const bytes = entries.find((entry) => entry.path === path)?.data?.[0]?.bytes;
  if (bytes === undefined) throw new Error(`no ${path}`);
  return bytes;
};

/** What a driver may be unable to carry. */
type ConformancePoint = 'any bytes' | 'nanoseconds' | 'times before 1970' | 'holes' | 'access lists';

/** In what a mount differs from the tree, by its nature. */
export interface ConformanceLimits {
  /** Point → reason. What takes the point's place is asked instead where there is anything; the rest is skipped. */
  readonly missing?: Partial<Record<ConformancePoint, string>>;
  /** Bytes; data is followed by zeros up to a multiple of it, and a hole after that. Default: a page. */
  readonly holeUnit?: number;
}

/**
 * What every read-only file system of ours has to do, whoever serves it: asks a mount of the conformance tree.
 *
 * @param mounted - the mount point, called in each test
 * @param entries - the tree that is mounted there
 */
export function describeConformance(
  mounted: () => string,
  entries: readonly TestEntry[],
  { missing = {}, holeUnit = 4096 }: ConformanceLimits = {},
): void {
  for (const [point, reason] of Object.entries(missing)) console.warn(`NOT CARRIED: ${point}: ${reason}`);
  const isText = (name: string): boolean => isUtf8(Buffer.from(name, 'latin1'));
  const few = entries.filter(
    ({ path }) => !path.startsWith('many/') && (missing['any bytes'] === undefined || isText(path)),
  );
  /** A name as readdir() shows it: bytes that are not UTF-8 show as U+FFFD where they are not carried. */
  const shown = (name: string): string =>
    missing['any bytes'] === undefined
      ? name
      : Buffer.from(Buffer.from(name, 'latin1').toString('utf8')).toString('latin1');
  const mtimeNs = ({ mtime = 0, mtimeNs: fraction = 0 }: TestEntry): bigint => {
    if (mtime < 0 && missing['times before 1970'] !== undefined) return 0n;
    const unit = missing.nanoseconds === undefined ? 1 : 1_000_000;
    return BigInt(mtime) * 1_000_000_000n + BigInt(fraction - (fraction % unit));
  };

  describe('stat(2) and getdents(2)', () => {
    it.each(few.map(({ path }) => path))(
      'lstat() of %j shows mode, owner, size, time, links and device',
      async (path) => {
        const { entry, nlink } = resolveLinks(entries).get(path) ?? { entry: few[0] as TestEntry, nlink: 0 };
        const status = await lstat(pathOf(mounted(), path), { bigint: true });
        const isDirectory = status.isDirectory();
        expect({
          mode: Number(status.mode),
          uid: Number(status.uid),
          gid: Number(status.gid),
          rdev: Number(status.rdev),
          mtimeNs: status.mtimeNs,
          nlink: Number(status.nlink),
          size: isDirectory ? 0 : Number(status.size),
        }).toEqual({
          mode: entry.mode,
          uid: entry.uid ?? 0,
          gid: entry.gid ?? 0,
          rdev: entry.rdev ?? 0,
          mtimeNs: mtimeNs(entry),
          nlink,
          size: isDirectory ? 0 : sizeOf(entry),
        });
      },
    );

    it('hard links share an inode number, other files do not', async () => {
      const numbers = new Map<string, bigint>();
      for (const { path } of few) numbers.set(path, (await lstat(pathOf(mounted(), path), { bigint: true })).ino);
      expect(numbers.get('hard')).toBe(numbers.get('file'));
      expect(new Set(numbers.values()).size).toBe(few.length - 1);
    });

    it('readdir() lists each name once, with its type', async () => {
      const listed = await readdir(Buffer.from(mounted()), { withFileTypes: true, encoding: 'buffer' });
      const names = listed.map((entry) => (entry.name as unknown as Buffer).toString('latin1')).sort();
      const expected = entries.map(({ path }) => path).filter((path) => path !== '' && !path.includes('/'));
      expect(names).toEqual(expected.map(shown).sort());
      const typeOf = (name: string) => listed.find((entry) => String(entry.name) === name);
      expect(typeOf('many')?.isDirectory()).toBe(true);
      expect(typeOf('file')?.isFile()).toBe(true);
      expect(typeOf('link')?.isSymbolicLink()).toBe(true);
      expect(typeOf('fifo')?.isFIFO()).toBe(true);
      expect(typeOf('null')?.isCharacterDevice()).toBe(true);
      expect(typeOf('block')?.isBlockDevice()).toBe(true);
    });

    it('readdir() of 100,000 entries is complete, again from the cache', async () => {
      for (let i = 0; i < 2; i++) {
        const names = await readdir(`${mounted()}/many`);
        expect(names.length).toBe(manyCount);
        expect(new Set(names).size).toBe(manyCount);
      }
    });

    it.skipIf(!has('perl'))('seekdir() resumes anywhere in 100,000 entries', async () => {
      const script = `
        opendir(my $d, $ARGV[0]) or die; my (@at, @name);
        while (1) { my $p = telldir($d); my $n = readdir($d); last unless defined $n; push @at, $p; push @name, $n }
        my $bad = 0;
        for my $i (99_999, 0, 50_000, 7, 77_777, 1, 100_001) {
          seekdir($d, $at[$i]); $bad++ if readdir($d) ne $name[$i];
          $bad++ if $i < $#name && readdir($d) ne $name[$i + 1];
        }
        rewinddir($d); $bad++ if readdir($d) ne $name[0];
        print scalar(@name), " $bad"`;
      expect(await output('perl', ['-e', script, `${mounted()}/many`])).toBe(`${manyCount + 2} 0`);
    });

    it('readdir() followed by lstat() of each entry agrees', async () => {
      const names = await readdir(`${mounted()}/many`);
      for (const name of names.slice(0, 500)) {
        const status = await lstat(`${mounted()}/many/${name}`);
        expect(status.mtimeMs / 1000).toBe(Number(name.slice('entry-'.length)));
      }
    });

    it('names that are not there are ENOENT, names below a file ENOTDIR, too long ones ENAMETOOLONG', async () => {
      for (let i = 0; i < 2; i++) expect(await codeOf(lstat(`${mounted()}/missing`))).toBe('ENOENT');
      expect(await codeOf(lstat(`${mounted()}/file/below`))).toBe('ENOTDIR');
      expect(await codeOf(lstat(`${mounted()}/${'n'.repeat(256)}`))).toMatch(/^(ENAMETOOLONG|ENOENT)$/);
    });

    it('statfs() says a block size and that nothing is free', async () => {
      const status = await statfs(mounted());
      expect(status.bsize).toBe(4096);
      expect([status.bfree, status.bavail]).toEqual([0, 0]);
    });

    it('readlink() returns any bytes, at any length; links are followed', async () => {
      const target = readlink(pathOf(mounted(), 'dangling'), { encoding: 'buffer' });
      if (missing['any bytes'] !== undefined) expect(await codeOf(target)).toBe('EILSEQ');
      else expect((await target).toString('latin1')).toBe(few.find(({ path }) => path === 'dangling')?.target);
      expect((await stat(`${mounted()}/link`)).size).toBe(6);
    });
  });

  describe('read(2)', () => {
    it('reads whole files, also under names of any bytes', async () => {
      for (const { path, data } of few) {
        if (data?.length !== 1 || path === 'private/secret') continue;
        expect((await readFile(pathOf(mounted(), path))).equals(data[0]?.bytes ?? Buffer.alloc(0)), path).toBe(true);
      }
      expect((await readFile(`${mounted()}/empty`)).length).toBe(0);
    });

    it.each([
      [0, 1],
      [4095, 2],
      [1, 1024 * 1024],
      [1024 * 1024 - 3, 1024 * 1024 + 7],
      [3 * 1024 * 1024 + 10, 100],
      [3 * 1024 * 1024 + 17, 1],
      [10 * 1024 * 1024, 4096],
    ])('reads from offset %i a run of %i bytes, short only at the end', async (offset, length) => {
      const expected = content(entries, 'odd').subarray(offset, offset + length);
      const actual = await withFile(`${mounted()}/odd`, (file) => readAt(file, offset, length));
      expect(actual.equals(expected)).toBe(true);
    });

    it('reads data and holes beyond 4 GiB', async () => {
      const far = sparseRuns()[1]?.bytes ?? Buffer.alloc(0);
      await withFile(`${mounted()}/sparse`, async (file) => {
        const around = await readAt(file, 5 * gibibyte - 4096, 3 * 4096);
        expect(around.equals(Buffer.concat([Buffer.alloc(4096), far, Buffer.alloc(4096)]))).toBe(true);
        expect((await readAt(file, 6 * gibibyte - 10, 100)).equals(Buffer.alloc(10))).toBe(true);
      });
    });

    it('gives concurrent readers the same bytes', async () => {
      const expected = Buffer.from(content(entries, 'odd'));
      const copies = await Promise.all(Array.from({ length: 16 }, () => readFile(`${mounted()}/odd`)));
      expect(copies.every((copy) => copy.equals(expected))).toBe(true);
    });

    it.skipIf(!has('python3') || missing.holes !== undefined)('lseek() finds data and holes', async () => {
      const first = Math.max(8192, holeUnit);
      const end = 5 * gibibyte + holeUnit;
      const script = `
f = os.open(at('sparse'), os.O_RDONLY)
def seek(offset, whence):
  try: return os.lseek(f, offset, whence)
  except OSError as e: return errno.errorcode[e.errno]
G = 2**30
print(json.dumps([seek(0, os.SEEK_DATA), seek(0, os.SEEK_HOLE), seek(${first}, os.SEEK_DATA), seek(5*G, os.SEEK_HOLE),
  seek(${end}, os.SEEK_DATA), seek(${end}+904, os.SEEK_HOLE), seek(6*G, os.SEEK_DATA), seek(6*G, os.SEEK_HOLE)]))`;
      const expected = [0, first, 5 * gibibyte, end, 'ENXIO', end + 904, 'ENXIO', 'ENXIO'];
      expect(await python(script, mounted())).toEqual(expected);
    });

    it.skipIf(!has('python3'))('mmap() shows the same bytes', async () => {
      const script = `
f = os.open(at('odd'), os.O_RDONLY)
m = mmap.mmap(f, 0, prot=mmap.PROT_READ)
r = os.read(f, 1 << 30)
while len(r) < len(m): r += os.read(f, 1 << 30)
print(json.dumps(m[:] == r))`;
      expect(await python(script, mounted())).toBe(true);
    });

    it('execve() runs a program', async () => {
      expect(await output(`${mounted()}/program`, ['it', 'runs'])).toBe('it runs\n');
    });
  });

  describe.skipIf(!has('python3'))('getxattr(2) and listxattr(2)', () => {
    const names = (path: string) => Object.keys(few.find((entry) => entry.path === path)?.xattrs ?? {}).sort();

    it('lists all names', async () => {
      const script = `print(json.dumps([sorted(os.listxattr(at(n))) for n in ('xattrs', 'guarded', 'file')]))`;
      expect(await python(script, mounted())).toEqual([names('xattrs'), names('guarded'), []]);
    });

    it('returns values of any bytes', async () => {
      const script = `print(json.dumps({n: os.getxattr(at('xattrs'), n).hex() for n in os.listxattr(at('xattrs'))}))`;
      const values = Object.entries(few.find(({ path }) => path === 'xattrs')?.xattrs ?? {});
      const expected = Object.fromEntries(values.map(([name, value]) => [name, Buffer.from(value).toString('hex')]));
      expect(await python(script, mounted())).toEqual(expected);
    });

    it('says how much room is needed, ERANGE when there is less, ENODATA when there is none', async () => {
      const script = `
c = ctypes.CDLL(None, use_errno=True)
def get(name, room):
  n = c.getxattr(at('xattrs').encode(), name, ctypes.create_string_buffer(8192), room)
  return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
def listed(room):
  n = c.listxattr(at('xattrs').encode(), ctypes.create_string_buffer(8192), room)
  return n if n >= 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps([get(b'user.long', 0), get(b'user.long', 1999), get(b'user.long', 2000), get(b'user.none', 100),
  listed(0), listed(10)]))`;
      const listLength = names('xattrs').reduce((sum, name) => sum + name.length + 1, 0);
      expect(await python(script, mounted())).toEqual([2000, 'ERANGE', 2000, 'ENODATA', listLength, 'ERANGE']);
    });
  });

  describe('permissions', () => {
    const as = (uid: number, ...words: string[]) =>
      codeOf(run(words[0] ?? '', words.slice(1), { cwd: mounted(), uid, gid: uid })).then(
        (code) => code === 'no error',
      );

    it.skipIf(!isRoot())('other users are checked against modes', async () => {
      expect(await as(1000, 'cat', 'file')).toBe(true);
      expect(await as(1000, 'cat', 'private/secret')).toBe(false);
      expect(await as(1000, 'ls', 'private')).toBe(false);
      expect(await as(0, 'cat', 'private/secret')).toBe(true);
    });

    it.skipIf(!isRoot() || missing['access lists'] !== undefined)(
      'other users are checked against access lists',
      async () => {
        expect(await as(1000, 'cat', 'guarded')).toBe(true);
        expect(await as(1001, 'cat', 'guarded')).toBe(false);
      },
    );
  });

  describe('writing', () => {
    const attempts: readonly (readonly [string, (directory: string) => Promise<unknown>])[] = [
      ['open() for writing', (directory) => open(`${directory}/file`, 'r+')],
      ['open() that truncates', (directory) => open(`${directory}/file`, constants.O_WRONLY | constants.O_TRUNC)],
      ['open() that creates', (directory) => writeFile(`${directory}/new`, '')],
      ['mkdir()', (directory) => mkdir(`${directory}/new`)],
      ['symlink()', (directory) => symlink('file', `${directory}/new`)],
      ['unlink()', (directory) => rm(`${directory}/file`)],
      ['rename()', (directory) => rename(`${directory}/file`, `${directory}/new`)],
      ['chmod()', (directory) => chmod(`${directory}/file`, 0o600)],
      ['utimes()', (directory) => utimes(`${directory}/file`, 0, 0)],
    ];
    it.each(attempts)('%s is EROFS', async (_name, attempt) => {
      expect(await codeOf(attempt(mounted()))).toBe('EROFS');
    });

    it.skipIf(!has('python3'))('setxattr() is EROFS', async () => {
      const script = `
try: os.setxattr(at('file'), 'user.new', b'x')
except OSError as e: print(json.dumps(errno.errorcode[e.errno]))`;
      expect(await python(script, mounted())).toBe('EROFS');
    });
  });
}
