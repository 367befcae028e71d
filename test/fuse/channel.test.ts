import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Channel, openChannel } from '../../src/fuse/channel.ts';
import { AGAIN, exchange, GONE } from '../../src/fuse/device.ts';
import { loadNative, type Native, nativeMissingReason } from '../../src/native.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { reportMissing } from '../support/tools.ts';

const loaded = loadNative();
if (loaded === undefined) reportMissing(`the native addon: ${nativeMissingReason()}`);

const digits = '01234567';
const directory = makeTemporaryDirectory();
const file = path.join(directory, 'file');
const fds: number[] = [];

/** A file has one offset for reads and writes, so what is read shows whether something was written before. */
function openFile(flags: string | number): number {
  writeFileSync(file, digits);
  fds.push(openSync(file, flags));
  return fds.at(-1) ?? -1;
}
const content = (): string => readFileSync(file, 'latin1');

/** For the errors that are not to be reported. */
const unexpected = (error: unknown): never => {
  throw error;
};

/** What `call` throws. */
function thrown(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

afterEach(() => {
  for (const fd of fds.splice(0)) closeSync(fd);
});
afterAll(() => removeTemporaryDirectory(directory));

describe.each(loaded === undefined ? ['portable'] : ['native', 'portable'])(
  'Channel with SLUICE_ENGINE=%s',
  (engine) => {
    let open: typeof openChannel;
    let request: Buffer;
    const channelTo = (fd: number): Channel => {
      request = Buffer.alloc(16, '.');
      return open(fd, Buffer.from('abcdef'), request);
    };

    beforeAll(async () => {
      vi.stubEnv('SLUICE_ENGINE', engine);
      vi.resetModules();
      open = (await import('../../src/fuse/channel.ts')).openChannel;
    });
    afterAll(() => vi.unstubAllEnvs());

    it('sends the answer, then reads the request to the beginning of its buffer', () => {
      const channel = channelTo(openFile('r+'));
      expect(channel(3)).toBe(5);
      expect(content()).toBe('abc34567');
      expect(request.toString('latin1')).toBe('34567...........');
      expect(channel(6)).toBe(0);
      expect(content()).toBe('abc34567abcdef');
    });

    it('sends nothing when the length is 0', () => {
      expect(channelTo(openFile('r+'))(0)).toBe(8);
      expect(content()).toBe(digits);
    });

    it('says that write failed, and has read nothing then', () => {
      const channel = channelTo(openFile('r'));
      // The sign of `errno` shows which engine this is.
      const errno = engine === 'native' ? 9 : -9;
      expect(thrown(() => channel(1))).toMatchObject({ code: 'EBADF', syscall: 'write', errno });
      expect(request.toString('latin1')).toBe('.'.repeat(16));
      expect(channel(0)).toBe(8);
    });

    it('says that read failed, and has sent the answer then', () => {
      const channel = channelTo(openFile('a'));
      expect(thrown(() => channel(2))).toMatchObject({ code: 'EBADF', syscall: 'read' });
      expect(content()).toBe('01234567ab');
    });

    it('exchange() reports a refused answer, and gives up on a descriptor it cannot read', () => {
      const report = vi.fn();
      expect(exchange(channelTo(openFile('r')), 1, report)).toBe(AGAIN);
      expect(report.mock.calls).toEqual([
        [expect.objectContaining({ code: 'SLUICE_FUSE_PROTOCOL', message: expect.stringContaining('kernel refuses') })],
      ]);
      const unreadable = channelTo(openFile('a'));
      expect(thrown(() => exchange(unreadable, 1, report))).toMatchObject({
        code: 'SLUICE_FUSE_PROTOCOL',
        message: expect.stringContaining('Cannot read'),
      });
      expect(report).toHaveBeenCalledOnce();
    });

    it('exchange() gives AGAIN when another worker was quicker', () => {
      const fifo = path.join(directory, `fifo-${engine}`);
      execFileSync('mkfifo', [fifo]);
      fds.push(openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK));
      const channel = channelTo(fds[0] ?? -1);
      expect(exchange(channel, 0, unexpected)).toBe(AGAIN);
      expect(exchange(channel, 4, unexpected)).toBe(4);
    });
  },
);

describe('exchange()', () => {
  const failing = (syscall: string, code: string) => (): never => {
    throw Object.assign(new Error(code), { code, syscall });
  };

  it.each([
    ['EINTR', AGAIN],
    ['EAGAIN', AGAIN],
    ['ENOENT', AGAIN],
    ['ENODEV', GONE],
    ['ECONNABORTED', GONE],
  ])('takes %s of read as %i', (code, outcome) => {
    expect(exchange(failing('read', code), 0, unexpected)).toBe(outcome);
  });

  it.each(['ENOENT', 'ENODEV', 'ECONNABORTED'])('takes %s of write as an answer nobody waits for', (code) => {
    expect(exchange(failing('write', code), 1, unexpected)).toBe(AGAIN);
  });

  it.each(['EINVAL', 'EINTR', 'EAGAIN', 'EFAULT'])('reports %s of write', (code) => {
    const report = vi.fn();
    expect(exchange(failing('write', code), 1, report)).toBe(AGAIN);
    expect(report).toHaveBeenCalledOnce();
  });

  it('throws what is no error of a system call', () => {
    const broken = (): never => {
      throw new RangeError('length');
    };
    expect(thrown(() => exchange(broken, 1, unexpected))).toMatchObject({ code: 'SLUICE_FUSE_PROTOCOL' });
  });
});

describe.skipIf(loaded === undefined)('Native.fuseExchange()', () => {
  const native = loaded as Native;

  const bytes = (): Uint8Array => new Uint8Array(8);
  const detached = (): Uint8Array => {
    const buffer = new ArrayBuffer(8);
    const view = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    return view;
  };
  /** A view of 8 bytes whose buffer has 2 left; the compiler's library does not know these buffers yet. */
  const shrunk = (): Uint8Array => {
    const buffer: ArrayBuffer = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 8 }]);
    const view = new Uint8Array(buffer);
    Reflect.apply(Reflect.get(buffer, 'resize'), buffer, [2]);
    return view;
  };

  const lists = (name: string, values: readonly unknown[]) => values.map((value) => ({ [name]: value }));

  it.each([
    ['fd', RangeError, lists('fd', [-1, 0.5, Number.NaN, 2 ** 31, 2 ** 53])],
    ['fd', TypeError, lists('fd', [undefined, '3', 3n, null, {}])],
    [
      'answer',
      TypeError,
      lists('answer', [new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), [1, 2], 'text', null]),
    ],
    ['answer', TypeError, lists('answer', [new Int8Array(8), new Uint16Array(8), new Uint8ClampedArray(8)])],
    ['length', RangeError, lists('length', [-1, 9, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32, 2 ** 64])],
    ['length', RangeError, lists('answer', [detached(), shrunk(), new Uint8Array(0), bytes().subarray(8)])],
    ['length', TypeError, lists('length', ['1', 1n, null, undefined])],
    ['request', TypeError, lists('request', [new ArrayBuffer(8), new Float64Array(8), {}, undefined])],
    ['request', RangeError, lists('request', [new Uint8Array(0), detached(), bytes().subarray(8)])],
  ])('refuses a wrong %s with %o, and does nothing', (name, kind, wrongs) => {
    const good = { fd: openFile('r+'), answer: bytes(), length: 3, request: bytes() };
    for (const wrong of wrongs) {
      const { fd, answer, length, request }: Record<string, unknown> = { ...good, ...wrong };
      const error = thrown(() => Reflect.apply(native.fuseExchange, native, [fd, answer, length, request]));
      expect(error).toBeInstanceOf(kind);
      expect(error).toMatchObject({ message: expect.stringContaining(`fuseExchange: ${name} `) });
    }
    expect(content()).toBe(digits);
    expect(readSync(good.fd, bytes())).toBe(8);
  });

  it('stays within views, and takes any memory they are of', () => {
    const fd = openFile('r+');
    const shared = new Uint8Array(new SharedArrayBuffer(8)).fill(0x78);
    const view = Buffer.alloc(8, '.');
    expect(native.fuseExchange(fd, shared.subarray(2, 4), 2, view.subarray(2, 5))).toBe(3);
    expect(content()).toBe('xx234567');
    expect(view.toString('latin1')).toBe('..234...');
    expect(native.fuseExchange(fd, detached(), 0, shared.subarray(0, 1))).toBe(1);
    expect(shared[0]).toBe('5'.charCodeAt(0));
    expect(native.fuseExchange(fd, shrunk(), 2, view)).toBe(0);
    expect(content()).toBe('xx2345\0\0');
  });

  it('keeps no buffer', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const fd = openFile('r+');
    const used = Array.from({ length: 8 }, () => {
      const [answer, request] = [new Uint8Array(1 << 20), new Uint8Array(1 << 16)];
      native.fuseExchange(fd, answer, 1, request);
      return [new WeakRef(answer), new WeakRef(request)];
    }).flat();
    // References are let go of between two turns of the event loop.
    await setImmediate();
    collect();
    expect(used.filter((reference) => reference.deref() !== undefined)).toEqual([]);
  });
});
