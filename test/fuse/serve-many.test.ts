import { closeSync, readSync, writeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { opcode } from '../../src/fuse/format.ts';
import type { Operations } from '../../src/fuse/operations.ts';
import { ManyMounts } from '../../src/fuse/serve-many.ts';
import { loadNative, type Native, nativeMissingReason } from '../../src/native.ts';
import { MemoryFileSystem } from '../support/fuse-memory.js';
import { encodeRequest } from '../support/fuse-requests.ts';
import { reportMissing } from '../support/tools.ts';

const loaded = loadNative();
if (loaded === undefined) reportMissing(`the native addon: ${nativeMissingReason()}`);
const native = loaded as Native;

/** epoll(7). */
const EPOLLIN = 1;

const opened: number[] = [];
afterEach(() => {
  for (const fd of opened.splice(0)) closeSync(fd);
});

/** A descriptor that is served, and its other end. */
function pair(): { fd: number; peer: number } {
  const [peer, fd] = native.socketPair();
  opened.push(peer, fd);
  native.setNonBlocking(fd);
  return { fd, peer };
}

describe.skipIf(loaded === undefined)('Native.fuseExchangeAny()', () => {
  function open(): {
    ends: ReturnType<typeof pair>[];
    exchange: (to: number, length: number, first: number) => string;
  } {
    const epfd = native.epollCreate();
    opened.push(epfd);
    const ends = [pair(), pair()];
    for (const { fd } of ends) native.epollAdd(epfd, fd, EPOLLIN, fd);
    const request = Buffer.alloc(16);
    const from = new Int32Array(1);
    const exchange = (to: number, length: number, first: number): string => {
      from[0] = first;
      const answer = Buffer.from('answer');
      const received = native.fuseExchangeAny(epfd, to, answer, length, request, new Uint8Array(from.buffer));
      return `${ends.findIndex(({ fd }) => fd === from[0])} ${request.toString('latin1', 0, received)}`;
    };
    return { ends, exchange };
  }

  it('sends the answer, then says whose request it has read', () => {
    const { ends, exchange } = open();
    const [one, two] = ends;
    writeSync(two!.peer, 'hello');
    expect(exchange(one!.fd, 3, -1)).toBe('1 hello');
    const sent = Buffer.alloc(16);
    expect(sent.toString('latin1', 0, readSync(one!.peer, sent))).toBe('ans');
  });

  it.each([0, 1])('looks at descriptor %i first when told so', (first) => {
    const { ends, exchange } = open();
    for (const { peer } of ends) writeSync(peer, 'hello');
    expect(exchange(-1, 0, ends[first]!.fd)).toBe(`${first} hello`);
  });

  it('waits for any of them when the one it looks at has nothing', () => {
    const { ends, exchange } = open();
    writeSync(ends[1]!.peer, 'hello');
    expect(exchange(-1, 0, ends[0]!.fd)).toBe('1 hello');
  });

  it('says whose read failed', () => {
    const { ends, exchange } = open();
    const from = new Int32Array([-1]);
    const epfd = native.epollCreate();
    opened.push(epfd);
    // A directory cannot be read; neither can the instance itself, and that can be waited for.
    writeSync(ends[0]!.peer, 'hello');
    const inner = native.epollCreate();
    opened.push(inner);
    native.epollAdd(inner, ends[0]!.fd, EPOLLIN, 0);
    native.epollAdd(epfd, inner, EPOLLIN, inner);
    const call = (): number =>
      native.fuseExchangeAny(epfd, -1, Buffer.alloc(1), 0, Buffer.alloc(8), new Uint8Array(from.buffer));
    expect(call).toThrow(expect.objectContaining({ code: 'EINVAL', syscall: 'read' }));
    expect(from[0]).toBe(inner);
    expect(exchange(-1, 0, -1)).toBe('0 hello');
  });

  it.each([
    ['an answer for nobody', -1, 1, 8, 4],
    ['no room for a request', -1, 0, 0, 4],
    ['no room for the descriptor', -1, 0, 8, 3],
  ])('refuses %s', (_, to, length, room, size) => {
    const epfd = native.epollCreate();
    opened.push(epfd);
    expect(() =>
      native.fuseExchangeAny(epfd, to, Buffer.alloc(1), length, Buffer.alloc(room), new Uint8Array(size)),
    ).toThrow(RangeError);
  });
});

describe.skipIf(loaded === undefined)('ManyMounts.serve()', () => {
  /** A mount that has its next request as soon as one is answered. */
  function busyMount(onRequest: (asked: number) => void): { fd: number; operations: Operations; asked: () => number } {
    const { fd, peer } = pair();
    const answer = Buffer.alloc(4096);
    const files = new MemoryFileSystem([{ path: '', mode: 0o040755 }]);
    let asked = 0;
    const ask = (): number => writeSync(peer, encodeRequest(opcode.getattr, 1, Buffer.alloc(16), 2 * asked + 2));
    ask();
    const getattr: Operations['getattr'] = (nodeid, reply) => {
      if (asked++ > 0) readSync(peer, answer);
      onRequest(asked);
      if (asked < 1000) ask();
      return MemoryFileSystem.prototype.getattr.call(files, nodeid, reply);
    };
    return { fd, operations: Object.assign(files, { getattr }), asked: () => asked };
  }

  it('keeps neither other mounts nor its caller waiting for a busy one', () => {
    const [control, waiting] = [pair(), pair()];
    const files = new MemoryFileSystem([{ path: '', mode: 0o040755 }]);
    const busy = busyMount((asked) => {
      if (asked > 1) return;
      writeSync(waiting.peer, encodeRequest(opcode.getattr, 1, Buffer.alloc(16)));
      writeSync(control.peer, '!');
    });
    /** How many requests of the busy mount came before. */
    let [served, woken] = [0, 0];
    const getattr: Operations['getattr'] = (nodeid, reply) => {
      served = busy.asked();
      return MemoryFileSystem.prototype.getattr.call(files, nodeid, reply);
    };
    const mounts = new ManyMounts(native);
    mounts.add(busy.fd, busy.operations);
    mounts.add(waiting.fd, Object.assign(files, { getattr }));
    mounts.serve(control.fd, {
      woken: () => {
        woken ||= busy.asked();
        writeSync(control.peer, '!');
        return served === 0;
      },
      gone: () => undefined,
    });
    expect(served).toBeGreaterThan(0);
    expect(Math.max(served, woken)).toBeLessThan(100);
  });
});
