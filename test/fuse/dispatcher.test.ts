import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { FuseError, NotFoundError } from '../../src/errors.ts';
import { Dispatcher, failureChannel } from '../../src/fuse/dispatcher.ts';
import { attr, attrOut, dirent, entryOut, initFlag, initOut, opcode, outHeader } from '../../src/fuse/format.ts';
import { type Operations, PENDING } from '../../src/fuse/operations.ts';
import { Reply } from '../../src/fuse/reply.ts';
import { Request } from '../../src/fuse/request.ts';
import { MemoryFileSystem } from '../support/fuse-memory.js';
import { encodeBody, encodeRequest } from '../support/fuse-requests.ts';

const { EINVAL, EIO, ENOENT, ENOSYS, ERANGE, EROFS } = constants.errno;

const memory = (): Operations =>
  new MemoryFileSystem([
    { path: '', mode: 0o040755 },
    {
      path: 'file',
      mode: 0o104711,
      uid: 0xfffffffe,
      gid: 7,
      mtime: -1,
      mtimeNs: 999_999_999,
      size: 2 ** 40 + 1,
      xattrs: { 'user.a': Buffer.from('four') },
    },
    { path: 'slow', mode: 0o100644, size: 1, pending: true },
    ...Array.from({ length: 40 }, (_, i) => ({ path: `${i}`.padEnd(i * 6 + 1, 'x'), mode: 0o100644 })),
  ]);

/** Sends one request to a dispatcher; the answer taken apart, or undefined when there is none. */
function ask(dispatcher: Dispatcher, request: Uint8Array): { error: number; unique: bigint; body: Buffer } | undefined {
  dispatcher.request.buffer.set(request);
  const length = dispatcher.answer(request.length);
  if (length === 0) return undefined;
  const answer = Buffer.from(dispatcher.reply.buffer.subarray(0, length));
  expect(answer.readUInt32LE(outHeader.len)).toBe(length);
  return {
    error: 0 - answer.readInt32LE(outHeader.error),
    unique: answer.readBigUInt64LE(outHeader.unique),
    body: answer.subarray(outHeader.size),
  };
}

const initRequest = (major: number, minor: number, flags: number): Buffer =>
  encodeRequest(opcode.init, 0, encodeBody(major, minor, 131_072, flags, 0, 0n, 0n, 0n));
const allFlags = 0xffffffff;
const named = (name: string, before: Uint8Array = Buffer.alloc(0)): Buffer =>
  Buffer.concat([before, Buffer.from(`${name}\0`)]);
const readBody = (offset: bigint, length: number): Buffer => encodeBody(0n, offset, length, 0, 0n, 0, 0);

describe('Dispatcher.answer() of INIT', () => {
  it('agrees on the older minor version and on the features both know', () => {
    const { body, error } = ask(new Dispatcher(memory()), initRequest(7, 45, allFlags)) ?? {};
    expect(error).toBe(0);
    expect(body?.length).toBe(initOut.size);
    expect([body?.readUInt32LE(initOut.major), body?.readUInt32LE(initOut.minor)]).toEqual([7, 38]);
    expect(body?.readUInt16LE(initOut.maxPages)).toBe(256);
    const flags = body?.readUInt32LE(initOut.flags) ?? 0;
    expect(flags).toBe(Object.values(initFlag).reduce((sum, flag) => sum | flag, 0));
    const offered = initFlag.noOpenSupport | initFlag.noOpendirSupport | initFlag.asyncRead;
    const little = ask(new Dispatcher(memory()), initRequest(7, 31, offered))?.body;
    expect([little?.readUInt32LE(initOut.minor), little?.readUInt32LE(initOut.flags)]).toEqual([31, offered]);
  });

  it.each([
    [undefined, 1 << 20],
    [0, 0],
  ])('agrees on as much readahead as the file system wants: %s', (maximumReadahead, agreed) => {
    const operations = Object.assign(memory(), { maximumReadahead });
    const { body } = ask(new Dispatcher(operations), initRequest(7, 45, allFlags)) ?? {};
    expect(body?.readUInt32LE(initOut.maxReadahead)).toBe(agreed);
  });

  it('names its own version to a later major one', () => {
    expect(ask(new Dispatcher(memory()), initRequest(8, 0, 0))?.body.readUInt32LE(initOut.major)).toBe(7);
  });

  it.each([
    ['7.30', 7, 30, allFlags],
    ['6.99', 6, 99, allFlags],
    ['7.31 without zero-message opens', 7, 31, allFlags & ~initFlag.noOpendirSupport],
  ])('refuses %s, and says so to the kernel and to the caller', (_name, major, minor, flags) => {
    const dispatcher = new Dispatcher(memory());
    expect(ask(dispatcher, initRequest(major, minor, flags >>> 0))?.error).toBe(EIO);
    expect(dispatcher.refusal).toMatchObject({ code: 'SLUICE_FUSE_PROTOCOL' });
  });
});

describe('Dispatcher.answer()', () => {
  it('encodes attributes: 64-bit sizes, times before 1970, 32-bit owners', () => {
    const { body, unique } =
      ask(new Dispatcher(memory()), encodeRequest(opcode.lookup, 1, named('file'), 2 ** 52)) ?? {};
    expect(unique).toBe(2n ** 52n);
    expect(body?.length).toBe(entryOut.size);
    expect(body?.readBigUInt64LE(entryOut.nodeid)).toBe(2n);
    expect(body?.readBigUInt64LE(entryOut.entryValid)).toBe(0xffffffffn);
    const at = entryOut.attr;
    expect(body?.readBigUInt64LE(at + attr.size)).toBe(2n ** 40n + 1n);
    expect(body?.readBigInt64LE(at + attr.mtime)).toBe(-1n);
    expect(body?.readUInt32LE(at + attr.mtimensec)).toBe(999_999_999);
    expect(body?.readUInt32LE(at + attr.mode)).toBe(0o104711);
    expect([body?.readUInt32LE(at + attr.uid), body?.readUInt32LE(at + attr.gid)]).toEqual([0xfffffffe, 7]);
  });

  it('leaves nothing of the last answer in the next one', () => {
    const fresh = new Dispatcher(memory());
    const used = new Dispatcher(memory());
    used.reply.buffer.fill(0xff);
    for (const request of [
      encodeRequest(opcode.lookup, 1, named('file')),
      encodeRequest(opcode.lookup, 1, named('missing')),
      encodeRequest(opcode.getattr, 2, Buffer.alloc(16)),
      encodeRequest(opcode.statfs, 1),
      encodeRequest(opcode.getxattr, 2, named('user.a', encodeBody(0, 0))),
      initRequest(7, 45, allFlags),
    ]) {
      expect(ask(used, request)).toEqual(ask(fresh, request));
    }
  });

  it('answers a name that is not there with an entry the kernel keeps', () => {
    const { error, body } = ask(new Dispatcher(memory()), encodeRequest(opcode.lookup, 1, named('missing'))) ?? {};
    expect([error, body?.length, body?.readBigUInt64LE(entryOut.nodeid)]).toEqual([0, entryOut.size, 0n]);
    expect(body?.readBigUInt64LE(entryOut.entryValid)).toBe(0xffffffffn);
  });

  it('lets the kernel keep nothing when told so', () => {
    const { body } =
      ask(
        new Dispatcher(memory(), { request: new Request(), reply: new Reply(0) }),
        encodeRequest(opcode.getattr, 2, Buffer.alloc(16)),
      ) ?? {};
    expect(body?.readBigUInt64LE(attrOut.attrValid)).toBe(0n);
  });

  it.each([opcode.readdir, opcode.readdirplus])(
    'fills a directory part (opcode %i) up to the room there is, and resumes anywhere',
    (code) => {
      const header = code === opcode.readdirplus ? entryOut.size : 0;
      const all: string[] = [];
      let cookie = 0n;
      for (;;) {
        const { body } = ask(new Dispatcher(memory()), encodeRequest(code, 1, readBody(cookie, 700))) ?? {};
        if (body === undefined || body.length === 0) break;
        expect(body.length).toBeLessThanOrEqual(700);
        for (let at = 0; at < body.length; ) {
          const nameLength = body.readUInt32LE(at + header + dirent.namelen);
          const start = at + header + dirent.name;
          all.push(body.toString('latin1', start, start + nameLength));
          cookie = body.readBigUInt64LE(at + header + dirent.off);
          at = (start + nameLength + 7) & ~7;
        }
      }
      const long = Array.from({ length: 40 }, (_, i) => `${i}`.padEnd(i * 6 + 1, 'x'));
      expect(all).toEqual(['.', '..', 'file', 'slow', ...long]);
    },
  );

  it.each([
    ['length alone', 0, 0, 8],
    ['value', 4, 0, 4],
    ['too little room', 3, ERANGE, 0],
  ])('GETXATTR with room for %s', (_name, room, error, length) => {
    const answer = ask(
      new Dispatcher(memory()),
      encodeRequest(opcode.getxattr, 2, named('user.a', encodeBody(room, 0))),
    );
    expect([answer?.error, answer?.body.length]).toEqual([error, length]);
  });

  it.each([
    ['unknown', 63, Buffer.alloc(0), ENOSYS],
    ['beyond the table', 4096, Buffer.alloc(0), ENOSYS],
    ['OPEN', 14, Buffer.alloc(8), ENOSYS],
    ['OPENDIR', 27, Buffer.alloc(8), ENOSYS],
    ['MKDIR', opcode.mkdir, named('x', Buffer.alloc(8)), EROFS],
    ['SETXATTR', opcode.setxattr, Buffer.alloc(16), EROFS],
    ['short READ', opcode.read, Buffer.alloc(39), EINVAL],
    ['READ of more than a reply holds', opcode.read, readBody(0n, (1 << 20) + 1), EINVAL],
    ['READ at 2^53', opcode.read, readBody(2n ** 53n, 1), EINVAL],
    ['LOOKUP without NUL', opcode.lookup, Buffer.from('name'), EINVAL],
    ['LOOKUP of nothing', opcode.lookup, Buffer.from('\0'), EINVAL],
    ['LSEEK of an unknown kind', opcode.lseek, encodeBody(0n, 0n, 5, 0), EINVAL],
    ['GETATTR of nothing', opcode.getattr, Buffer.alloc(16), ENOENT],
  ])('%s is an error', (_name, code, body, error) => {
    const nodeid = error === ENOENT ? 999 : 1;
    expect(ask(new Dispatcher(memory()), encodeRequest(code, nodeid, body))).toMatchObject({
      error,
      body: Buffer.alloc(0),
    });
  });

  it('does not answer FORGET, BATCH_FORGET, INTERRUPT and pending reads', () => {
    const calls: unknown[] = [];
    const operations = Object.assign(memory(), {
      forget: (nodeid: number, count: number) => calls.push([nodeid, count]),
      interrupt: (unique: number) => calls.push(unique),
      read: (...args: unknown[]) => {
        calls.push(args[4]);
        return PENDING;
      },
    });
    const dispatcher = new Dispatcher(operations);
    for (const request of [
      encodeRequest(opcode.forget, 5, encodeBody(3n), 0),
      encodeRequest(opcode.batchForget, 0, encodeBody(2, 0, 6n, 1n, 7n, 2n), 0),
      encodeRequest(opcode.interrupt, 0, encodeBody(88n), 89),
      encodeRequest(opcode.read, 3, readBody(0n, 1), 90),
    ]) {
      expect(ask(dispatcher, request)).toBeUndefined();
    }
    expect(calls).toEqual([[5, 3], [6, 1], [7, 2], 88, 90]);
  });

  it('tells the kernel to send no interrupts when nobody listens', () => {
    const operations = Object.assign(memory(), { interrupt: undefined }) as unknown as Operations;
    expect(ask(new Dispatcher(operations), encodeRequest(opcode.interrupt, 0, encodeBody(88n), 89))?.error).toBe(
      ENOSYS,
    );
  });

  it.each([
    ['a SluiceError', new NotFoundError('SLUICE_PATH_NOT_FOUND', 'x'), ENOENT],
    ['any other error', new TypeError('x'), EIO],
  ])('answers %s of an operation with an errno, and publishes it', (_name, thrown, error) => {
    const published: unknown[] = [];
    const listen = (message: unknown): number => published.push(message);
    subscribe(failureChannel, listen);
    const operations = Object.assign(memory(), {
      getattr: () => {
        throw thrown;
      },
    });
    expect(ask(new Dispatcher(operations), encodeRequest(opcode.getattr, 1, Buffer.alloc(16)))?.error).toBe(error);
    unsubscribe(failureChannel, listen);
    expect(published).toEqual([{ error: thrown, opcode: opcode.getattr }]);
  });

  it('replaces an errno the kernel would not take', () => {
    const operations = Object.assign(memory(), { getattr: () => -512 });
    expect(ask(new Dispatcher(operations), encodeRequest(opcode.getattr, 1, Buffer.alloc(16)))?.error).toBe(EIO);
  });

  it.each([0, 39, 41, 65537])('throws on %i bytes that are no request', (length) => {
    const dispatcher = new Dispatcher(memory());
    dispatcher.request.buffer.set(encodeRequest(opcode.statfs, 1));
    expect(() => dispatcher.answer(length)).toThrow(FuseError);
  });
});
