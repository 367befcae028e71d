import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative, type Native, nativeMissingReason } from '../src/native.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './support/temporary.ts';
import { has, isRoot, otherNode, reportMissing } from './support/tools.ts';

const root = fileURLToPath(new URL('../', import.meta.url));
const loaded = loadNative();
const other = otherNode();
if (loaded === undefined) reportMissing(`the native addon: ${nativeMissingReason()}`);

const kernel = {
  mountReadOnly: 1, // MS_RDONLY
  mountNoDevices: 4, // MS_NODEV
  detach: 2, // MNT_DETACH
  readable: 1, // EPOLLIN
};
const errnoOf = os.constants.errno;

describe('loadNative()', () => {
  /** What another process with `engine` says; it runs what was built. */
  const ask = (node: string, engine: string | undefined) => {
    const script = `import { loadNative, nativeMissingReason } from '${root}dist/native.js';
      console.log(typeof loadNative()?.mount, nativeMissingReason());`;
    const { SLUICE_ENGINE: _, ...env } = process.env;
    const run = spawnSync(node, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: engine === undefined ? env : { ...env, SLUICE_ENGINE: engine },
    });
    return `${run.stdout}${run.stderr}`.trim();
  };

  it.skipIf(loaded === undefined).each([undefined, '', 'native'])('loads the addon with SLUICE_ENGINE=%s', (engine) => {
    expect(ask(process.execPath, engine)).toBe('function undefined');
  });

  it.skipIf(loaded === undefined || other === undefined)('loads the same addon in another version of Node', () => {
    expect(ask(other ?? '', 'native')).toBe('function undefined');
  });

  it('leaves it out with SLUICE_ENGINE=portable', () => {
    expect(ask(process.execPath, 'portable')).toBe('undefined SLUICE_ENGINE=portable');
  });

  it('refuses an engine that does not exist', () => {
    expect(ask(process.execPath, 'fast')).toMatch(
      /Cannot load the native addon: SLUICE_ENGINE is "fast"[\s\S]*code: 'SLUICE_NATIVE_MISSING'/,
    );
  });
});

describe.skipIf(loaded === undefined)('Native', () => {
  const native = loaded as Native;
  let directory: string;
  beforeAll(() => {
    directory = makeTemporaryDirectory();
  });
  afterAll(() => removeTemporaryDirectory(directory));

  const folder = (name: string): string => {
    const made = path.join(directory, name);
    mkdirSync(made);
    return made;
  };
  const failure = (call: () => unknown): unknown => {
    try {
      return call();
    } catch (error) {
      return error;
    }
  };

  it.each<[string, unknown[], ErrorConstructor, string]>([
    ['mount', [], TypeError, 'Cannot call mount: source must be a string'],
    ['mount', ['a', 'b', 'c', '1', ''], TypeError, 'Cannot call mount: flags must be a number'],
    [
      'mount',
      ['a', 'b', 'c', 2 ** 32, ''],
      RangeError,
      'Cannot call mount: flags must be a whole number from 0 to 4294967295',
    ],
    [
      'mount',
      ['a', 'b', 'c', 0, 'x'.repeat(4096)],
      RangeError,
      'Cannot call mount: data must be shorter than 4096 bytes',
    ],
    ['umount', ['a\0b', 0], RangeError, 'Cannot call umount: target must be free of NUL characters'],
    ['mountErofs', ['a', 'b', 'c'], TypeError, 'Cannot call mountErofs: devices must be an array'],
    ['mountErofs', ['a', 'b', ['c', 1]], TypeError, 'Cannot call mountErofs: devices must be a string'],
    [
      'punchHole',
      [0, 2 ** 53, 1],
      RangeError,
      'Cannot call punchHole: offset must be a whole number from 0 to 9007199254740991',
    ],
    [
      'punchHole',
      [0, -1, 1],
      RangeError,
      'Cannot call punchHole: offset must be a whole number from 0 to 9007199254740991',
    ],
    [
      'punchHole',
      [0, 1.5, 1],
      RangeError,
      'Cannot call punchHole: offset must be a whole number from 0 to 9007199254740991',
    ],
    [
      'punchHole',
      [0, Number.NaN, 1],
      RangeError,
      'Cannot call punchHole: offset must be a whole number from 0 to 9007199254740991',
    ],
    ['punchHole', [-1, 0, 1], RangeError, 'Cannot call punchHole: fd must be a whole number from 0 to 2147483647'],
    [
      'copyFileRange',
      [0, 0, 0, -1, 1],
      RangeError,
      'Cannot call copyFileRange: offsetOut must be a whole number from 0 to 9007199254740991',
    ],
    ['flock', [0, 'both', true], RangeError, 'Cannot call flock: mode must be shared, exclusive or unlock'],
    ['flock', [0, 'shared', 1], TypeError, 'Cannot call flock: wait must be a boolean'],
    [
      'sendDescriptors',
      [0, [0], Buffer.alloc(0)],
      RangeError,
      'Cannot call sendDescriptors: payload must be 1 to 65536 bytes long',
    ],
    ['sendDescriptors', [0, [0], 'text'], TypeError, 'Cannot call sendDescriptors: payload must be a Uint8Array'],
    [
      'sendDescriptors',
      [0, [0], new Uint16Array(2)],
      TypeError,
      'Cannot call sendDescriptors: payload must be a Uint8Array',
    ],
    [
      'sendDescriptors',
      [0, Array(254).fill(0), Buffer.alloc(1)],
      RangeError,
      'Cannot call sendDescriptors: fds must be an array of at most 253 elements',
    ],
    [
      'sendDescriptors',
      [0, [0, null], Buffer.alloc(1)],
      TypeError,
      'Cannot call sendDescriptors: fds must be a number',
    ],
    [
      'receiveDescriptors',
      [0, 254],
      RangeError,
      'Cannot call receiveDescriptors: maximum must be a whole number from 0 to 253',
    ],
    [
      'epollAdd',
      [0, 0, 1, 2 ** 53],
      RangeError,
      'Cannot call epollAdd: key must be a whole number from 0 to 9007199254740991',
    ],
    [
      'epollWait',
      [0, -2, 1],
      RangeError,
      'Cannot call epollWait: timeoutMs must be a whole number from -1 to 2147483647',
    ],
    ['epollWait', [0, 0, 0], RangeError, 'Cannot call epollWait: maximum must be a whole number from 1 to 1024'],
  ])('%s() refuses arguments it cannot use, case %#', (name, given, type, message) => {
    const call = (native as unknown as Record<string, (...given: unknown[]) => unknown>)[name]!;
    expect(() => call(...given)).toThrow(type);
    expect(() => call(...given)).toThrow(message);
  });

  it('says what the kernel said: code, errno, syscall', () => {
    expect(failure(() => native.umount('/nowhere', 0))).toMatchObject({
      message: 'Cannot umount "/nowhere": ENOENT, No such file or directory',
      code: 'ENOENT',
      errno: errnoOf.ENOENT,
      syscall: 'umount',
    });
    expect(failure(() => native.punchHole(99_999, 0, 1))).toMatchObject({ code: 'EBADF', syscall: 'fallocate' });
  });

  describe.skipIf(!isRoot())('mounting', () => {
    it('mount() and umount() take flags and options', () => {
      const target = folder('tmpfs');
      native.mount('none', target, 'tmpfs', kernel.mountNoDevices | kernel.mountReadOnly, 'size=1m,mode=751');
      const options = execFileSync('findmnt', ['-n', '-o', 'OPTIONS', target], { encoding: 'utf8' });
      const mode = statSync(target).mode & 0o777;
      native.umount(target, kernel.detach);
      expect(options).toMatch(/^ro,nodev.*size=1024k/);
      expect(mode).toBe(0o751);
      expect(failure(() => native.umount(target, 0))).toMatchObject({ code: 'EINVAL' });
    });

    it('mount() reports why not', () => {
      expect(failure(() => native.mount('none', folder('no-type'), 'no-such-fs', 0, ''))).toMatchObject({
        code: 'ENODEV',
        syscall: 'mount',
      });
    });

    describe.skipIf(!has('mkfs.erofs'))('EROFS', () => {
      const makeImage = (name: string): string => {
        const source = folder(`${name}-source`);
        writeFileSync(path.join(source, 'file'), 'content');
        const image = path.join(directory, `${name}.erofs`);
        execFileSync('mkfs.erofs', ['--quiet', image, source], { stdio: 'ignore' });
        return image;
      };

      it('mountErofs() mounts an image read-only', () => {
        const image = makeImage('plain');
        const target = folder('erofs');
        native.mountErofs(image, target, []);
        try {
          expect(readFileSync(path.join(target, 'file'), 'utf8')).toBe('content');
          expect(failure(() => writeFileSync(path.join(target, 'new'), ''))).toMatchObject({ code: 'EROFS' });
        } finally {
          native.umount(target, kernel.detach);
        }
      });

      it('mountErofs() repeats what the kernel logged', () => {
        expect(failure(() => native.mountErofs('image', folder('logged'), ['']))).toMatchObject({
          code: 'EINVAL',
          syscall: 'fsconfig',
          message: `Cannot fsconfig device "" (e erofs: Bad value for 'device'): EINVAL, Invalid argument`,
        });
      });

      it('mountErofs() knows the name of the error for an image the kernel cannot read', () => {
        expect(failure(() => native.mountErofs(directory, folder('no-file'), []))).toMatchObject({ code: 'ENOTBLK' });
      });

      it('mountErofs() refuses devices the image does not have', () => {
        const image = makeImage('devices');
        expect(failure(() => native.mountErofs(image, folder('refused'), [image, image]))).toMatchObject({
          code: 'EINVAL',
          syscall: 'fsconfig',
        });
      });

      it('mountErofs() refuses a name longer than fsconfig(2) takes', () => {
        const image = makeImage('long');
        expect(failure(() => native.mountErofs(image, directory, ['d'.repeat(256)]))).toMatchObject({
          code: 'ENAMETOOLONG',
        });
      });

      it('mountErofs() reports a target that is not there', () => {
        expect(failure(() => native.mountErofs(makeImage('target'), '/nowhere', []))).toMatchObject({
          code: 'ENOENT',
          syscall: 'move_mount',
        });
      });
    });

    it('fuseClone() opens another queue of a connection', () => {
      const target = folder('fuse');
      const fd = openSync('/dev/fuse', 'r+');
      native.mount('test', target, 'fuse', 0, `fd=${fd},rootmode=40000,user_id=0,group_id=0`);
      try {
        const clone = native.fuseClone(fd);
        expect(clone).toBeGreaterThan(fd);
        expect(fstatSync(clone).rdev).toBe(fstatSync(fd).rdev);
        closeSync(clone);
      } finally {
        native.umount(target, kernel.detach);
        closeSync(fd);
      }
    });

    it('fuseClone() refuses what is no connection', () => {
      const fd = openSync('/dev/null', 'r');
      expect(failure(() => native.fuseClone(fd))).toMatchObject({ code: 'EINVAL', syscall: 'ioctl' });
      closeSync(fd);
    });
  });

  it('punchHole() gives blocks back and leaves the size', () => {
    const file = path.join(directory, 'hole');
    writeFileSync(file, Buffer.alloc(1 << 20, 1));
    const fd = openSync(file, 'r+');
    const before = fstatSync(fd).blocks;
    native.punchHole(fd, 4096, 1 << 19);
    const { size, blocks } = fstatSync(fd);
    closeSync(fd);
    expect(size).toBe(1 << 20);
    expect(blocks).toBeLessThanOrEqual(before - (1 << 19) / 512);
    expect(readFileSync(file).indexOf(0)).toBe(4096);
    expect(readFileSync(file).lastIndexOf(0)).toBe(4096 + (1 << 19) - 1);
  });

  it('punchHole() reaches behind 4 GiB', () => {
    const file = path.join(directory, 'far');
    const offset = 2 ** 40;
    const fd = openSync(file, 'w+');
    writeSync(fd, Buffer.alloc(8192, 1), 0, 8192, offset);
    native.punchHole(fd, offset, 4096);
    const bytes = Buffer.alloc(8192);
    readSync(fd, bytes, 0, 8192, offset);
    closeSync(fd);
    expect(bytes.indexOf(1)).toBe(4096);
  });

  it('copyFileRange() copies up to the end of the source, to any place', () => {
    const source = path.join(directory, 'copied-from');
    writeFileSync(source, Buffer.alloc(12_000, 7));
    const from = openSync(source, 'r');
    const to = openSync(path.join(directory, 'copied-to'), 'w+');
    const far = 2 ** 40;
    expect(native.copyFileRange(from, 1000, to, far, 8000)).toBe(8000);
    expect(native.copyFileRange(from, 10_000, to, 0, 8000)).toBe(2000);
    const bytes = Buffer.alloc(9000);
    expect(readSync(to, bytes, 0, 9000, far)).toBe(8000);
    expect(bytes.subarray(0, 8000)).toEqual(Buffer.alloc(8000, 7));
    closeSync(to);
    expect(failure(() => native.copyFileRange(from, 0, to, 0, 1))).toMatchObject({ syscall: 'copy_file_range' });
    closeSync(from);
  });

  it('flock() gives a lock to one open file, and readers share it', () => {
    const file = path.join(directory, 'lock');
    writeFileSync(file, '');
    const first = openSync(file, 'r');
    const second = openSync(file, 'r');
    expect(native.flock(first, 'exclusive', false)).toBe(true);
    expect(native.flock(second, 'exclusive', false)).toBe(false);
    expect(native.flock(second, 'shared', false)).toBe(false);
    expect(native.flock(first, 'shared', true)).toBe(true);
    expect(native.flock(second, 'shared', false)).toBe(true);
    expect(native.flock(first, 'unlock', true)).toBe(true);
    expect(native.flock(second, 'exclusive', true)).toBe(true);
    closeSync(second);
    expect(native.flock(first, 'exclusive', false)).toBe(true);
    closeSync(first);
  });

  describe('passing descriptors', () => {
    /** How many descriptors of this process are of `file`. */
    const openOf = (file: string) =>
      readdirSync('/proc/self/fd').filter((fd) => failure(() => readlinkSync(`/proc/self/fd/${fd}`)) === file).length;
    const withPair = (use: (left: number, right: number) => void) => {
      const [left, right] = native.socketPair();
      try {
        use(left, right);
      } finally {
        closeSync(left);
        closeSync(right);
      }
    };

    it('brings open files and bytes over, close-on-exec', () => {
      const file = path.join(directory, 'passed');
      writeFileSync(file, 'through the socket');
      withPair((left, right) => {
        const sent = [openSync(file, 'r'), openSync('/dev/null', 'r')];
        native.sendDescriptors(left, sent, Buffer.from('two files'));
        for (const fd of sent) closeSync(fd);
        const { fds, payload } = native.receiveDescriptors(right, 2);
        expect(Buffer.from(payload).toString()).toBe('two files');
        expect(fds).toHaveLength(2);
        expect(readFileSync(fds[0]!, 'utf8')).toBe('through the socket');
        for (const fd of fds) {
          const flags = /flags:\t(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
          expect(Number.parseInt(flags, 8) & 0o2000000, 'O_CLOEXEC').not.toBe(0);
          closeSync(fd);
        }
      });
    });

    it('brings 253 at once, and none', () => {
      withPair((left, right) => {
        native.sendDescriptors(left, Array(253).fill(left), Buffer.alloc(1));
        const { fds } = native.receiveDescriptors(right, 253);
        expect(fds).toHaveLength(253);
        for (const fd of fds) closeSync(fd);
        native.sendDescriptors(left, [], Buffer.from('bytes alone'));
        expect(native.receiveDescriptors(right, 0)).toEqual({ fds: [], payload: Buffer.from('bytes alone') });
      });
    });

    it.each([0, 1, 2])('closes what comes unasked, when at most %i were wanted', (maximum) => {
      const file = path.join(directory, `unasked-${maximum}`);
      const fd = openSync(file, 'w');
      withPair((left, right) => {
        native.sendDescriptors(left, [fd, fd, fd, fd], Buffer.alloc(1));
        expect(failure(() => native.receiveDescriptors(right, maximum))).toMatchObject({ code: 'EMSGSIZE' });
      });
      expect(openOf(file)).toBe(1);
      closeSync(fd);
    });

    it('ends with an empty payload when the other side is closed', () => {
      const [left, right] = native.socketPair();
      closeSync(left);
      expect(native.receiveDescriptors(right, 1)).toEqual({ fds: [], payload: Buffer.alloc(0) });
      expect(failure(() => native.sendDescriptors(right, [], Buffer.alloc(1)))).toMatchObject({ code: 'EPIPE' });
      closeSync(right);
    });
  });

  describe('epoll', () => {
    it('reports the keys of what is ready', () => {
      const epfd = native.epollCreate();
      const [left, right] = native.socketPair();
      const key = 2 ** 53 - 1;
      native.epollAdd(epfd, left, kernel.readable, 0);
      native.epollAdd(epfd, right, kernel.readable, key);
      expect(native.epollWait(epfd, 0, 10)).toEqual([]);
      writeSync(left, 'x');
      expect(native.epollWait(epfd, -1, 10)).toEqual([key]);
      writeSync(right, 'x');
      expect(native.epollWait(epfd, -1, 10).sort()).toEqual([0, key]);
      expect(native.epollWait(epfd, -1, 1)).toHaveLength(1);
      native.epollRemove(epfd, right);
      expect(native.epollWait(epfd, 0, 10)).toEqual([0]);
      expect(failure(() => native.epollRemove(epfd, right))).toMatchObject({ code: 'ENOENT', syscall: 'epoll_ctl' });
      expect(failure(() => native.epollAdd(epfd, left, kernel.readable, 1))).toMatchObject({ code: 'EEXIST' });
      for (const fd of [epfd, left, right]) closeSync(fd);
    });
  });
});
