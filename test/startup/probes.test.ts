import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { busyMs, machineTicks, processTicks } from '../../src/startup/probes/busy-time.ts';
import { isRuntime } from '../../src/startup/probes/first-exec.ts';
import { deviceBytes } from '../../src/startup/probes/received-bytes.ts';
import { RequestLog, requestMark } from '../../src/startup/probes/request-log.ts';
import { shuffler } from '../../src/startup/shuffle.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';

describe('deviceBytes()', () => {
  const text = `Inter-|   Receive                |  Transmit
 face |bytes    packets errs |bytes    packets
    lo: 1234 5 0 0 0 0 0 0 1234 5 0
 wire0:98765432101 7 0 0 0 0 0 0 1 1 0
`;
  it.each([
    ['lo', 1234],
    ['wire0', 98_765_432_101],
    ['eth0', 0],
  ])('finds what %s has received', (name, bytes) => {
    expect(deviceBytes(text, name)).toBe(bytes);
  });

  it('reads the kernel’s own', () => {
    expect(deviceBytes(readFileSync('/proc/net/dev', 'latin1'), 'lo')).toBeGreaterThanOrEqual(0);
  });
});

describe('machineTicks(), processTicks()', () => {
  it('adds what is not idle', () => {
    expect(machineTicks('cpu  1 20 300 99999 88888 4000 50000 7 8 9\ncpu0 1 1 1 1\n')).toBe(54_321);
  });

  it('finds its fields behind any name', () => {
    expect(processTicks('17 (a ) b) S 1 17 17 0 -1 4194304 1 0 0 0 12 30 0 0 20 0 1 0 5 6')).toBe(42);
  });

  it('take nothing from a process that is gone', () => {
    expect(busyMs([2 ** 31 - 1])).toBeGreaterThan(0);
  });
});

describe('isRuntime()', () => {
  it.each([
    ['/usr/sbin/runc', 'runc:[2:INIT]\n', true],
    ['/', 'runc:[1:CHILD]\n', true],
    ['/memfd:runc_cloned:/proc/self/exe (deleted)', '6\n', true],
    ['/usr/bin/crun', 'crun\n', true],
    ['/usr/bin/python3.11', 'python3\n', false],
    ['/usr/sbin/nginx', 'nginx\n', false],
  ])('of %s called %j: %s', (program, name, expected) => {
    expect(isRuntime(program, name)).toBe(expected);
  });
});

describe('RequestLog', () => {
  it('counts whole lines once, however they arrive', async () => {
    await withTemporaryDirectory((directory) => {
      const file = path.join(directory, 'log');
      writeFileSync(file, `x ${requestMark} a\nother\n`);
      const log = new RequestLog(file);
      expect(log.count()).toBe(1);
      appendFileSync(file, `x ${requestMark.slice(0, 8)}`);
      expect(log.count()).toBe(1);
      appendFileSync(file, `${requestMark.slice(8)} b\nx ${requestMark} c\n`);
      expect(log.count()).toBe(3);
      log.close();
    });
  });
});

describe('shuffler()', () => {
  it('gives each item once, the same order for the same seed', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.array(fc.nat()), (seed, items) => {
        const shuffled = shuffler(seed)(items);
        expect([...shuffled].sort((a, b) => a - b)).toEqual([...items].sort((a, b) => a - b));
        expect(shuffler(seed)(items)).toEqual(shuffled);
      }),
    );
  });

  it('gives every order, and another one the next time', () => {
    const orders = new Set(Array.from({ length: 200 }, (_, seed) => shuffler(seed)(['a', 'b', 'c']).join('')));
    expect(orders.size).toBe(6);
    const shuffle = shuffler(7);
    expect(shuffle([1, 2, 3, 4, 5, 6])).not.toEqual(shuffle([1, 2, 3, 4, 5, 6]));
  });
});
