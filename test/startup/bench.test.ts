import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { laneNames } from '../../src/startup/lanes.ts';
import type { BenchResult, Sample } from '../../src/startup/result.ts';
import { content } from '../support/content.ts';
import { memoryImage, putImage, tarBytes } from '../support/image.ts';
import { Link } from '../support/link.ts';
import { mounts } from '../support/mounts.ts';
import { eventually } from '../support/process.ts';
import { errorCode, Sluice, sluice } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const program = `#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  FILE *file = fopen("/data", "r");
  while (file && getc(file) != EOF) {}
  printf("ready %s\\n", getenv("WHO"));
  fflush(stdout);
  if (argc > 1) for (;;) pause();
  return 7;
}`;

/** An image of one static program, its data, and something it never reads; two workloads for it. */
async function makeWorkloads(directory: string): Promise<readonly string[]> {
  const [source, binary] = [path.join(directory, 'start.c'), path.join(directory, 'start')];
  writeFileSync(source, program);
  execFileSync('cc', ['-Os', '-s', '-static', '-o', binary, source]);
  const layer = await tarBytes([
    { name: 'start', mode: 0o755, content: readFileSync(binary) },
    { name: 'data', content: content('read', 300_000) },
    { name: 'unread', content: content('unread', 3_000_000) },
    ...['dev/', 'proc/', 'sys/', 'etc/', 'tmp/'].map((name) => ({ name, type: 'directory' as const, mode: 0o755 })),
  ]);
  const target = openLayoutTarget({ transport: 'oci', path: path.join(directory, 'images'), tag: 'tiny' });
  await putImage(target, await memoryImage([layer], { config: { Cmd: ['/start'], Env: ['PATH=/'] } }));
  await target.close();
  const workloads = {
    'tiny-exit': { image: 'tiny', environment: { WHO: 'you' }, ready: { kind: 'exit', status: 7 } },
    'tiny-line': {
      image: 'tiny',
      command: ['/start', 'stay'],
      environment: { WHO: 'me' },
      ready: { kind: 'line', pattern: '^ready me$' },
    },
    'tiny-fails': { image: 'tiny', ready: { kind: 'tcp', port: 9 } },
  };
  return Object.entries(workloads).map(([name, workload]) => {
    const file = path.join(directory, `${name}.json`);
    writeFileSync(file, JSON.stringify(workload));
    return file;
  });
}

const leftOvers = (): string[] => [
  ...readdirSync(os.tmpdir()).filter((name) => name.startsWith('sb-')),
  ...mounts().flatMap(({ target }) => (target.startsWith(path.join(os.tmpdir(), 'sb-')) ? [target] : [])),
];

function expectSound(sample: Sample): void {
  expect(sample.error).toBeUndefined();
  expect(sample.readyMs).toBeGreaterThan(0);
  expect(sample.firstExecMs ?? 0).toBeLessThanOrEqual(sample.readyMs);
  expect(sample.cpuMs).toBeGreaterThanOrEqual(0);
  const bytes = sample.timeline.map(([, at]) => at);
  const times = sample.timeline.map(([at]) => at);
  expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
  expect(times).toEqual([...times].sort((a, b) => a - b));
  expect(bytes.at(-1)).toBe(sample.bytes);
}

const possible = isRoot() && has('cc', 'nsenter', 'runc', 'skopeo', 'umoci');

describe.skipIf(!possible)('sluice bench', () => {
  it('measures lanes over a link, and leaves nothing behind', { timeout: 120_000 }, async () => {
    await (await Link.open({ megabitsPerSecond: 0, roundTripMs: 0 })).close();
    await withTemporaryDirectory(async (directory) => {
      const [exit = '', line = ''] = await makeWorkloads(directory);
      const out = path.join(directory, 'out');
      const place = ['--images', `oci:${path.join(directory, 'images')}`, '--out', out];
      const lanes = ['sluice-lazy', 'sluice-second', 'runc-unpacked'];
      const options = ['--lanes', lanes.join(','), '--samples', '1', '--seed', '5', '--no-drop-caches', '--json'];
      const links = ['--link', '200mbit,4ms'];
      const { status, stdout, stderr } = await sluice(['bench', ...place, ...options, ...links, exit, line]);
      expect(status, stderr).toBe(0);
      const result = JSON.parse(stdout) as BenchResult;
      expect(JSON.parse(readFileSync(path.join(out, 'startup.json'), 'utf8'))).toEqual(result);
      expect(existsSync(path.join(out, 'startup.html'))).toBe(true);
      expect(result).toMatchObject({ version: 1, seed: 5, samplesPerLane: 1, pageCache: 'kept', skipped: [], lanes });
      expect(result.links).toEqual([{ name: '200mbit-4ms', kind: 'wire', megabitsPerSecond: 200, roundTripMs: 4 }]);
      expect(result.workloads.map(({ compressedBytes }) => compressedBytes > 3_000_000)).toEqual([true, true]);
      expect(result.samples).toHaveLength(2 * lanes.length);
      for (const sample of result.samples) expectSound(sample);
      const of = (lane: string): readonly Sample[] => result.samples.filter((sample) => sample.lane === lane);
      for (const { bytes, requests, chunks } of of('sluice-lazy')) {
        // What the program reads, and less than what it does not.
        expect(bytes).toBeGreaterThan(300_000);
        expect(bytes).toBeLessThan(3_000_000);
        expect(requests).toBeGreaterThanOrEqual(3);
        expect(chunks?.arrivals.length).toBeGreaterThan(0);
        expect(chunks?.arrivals.every(([, device, chunk]) => chunk < (chunks.counts[device] ?? 0))).toBe(true);
      }
      for (const { bytes } of of('sluice-second')) expect(bytes).toBeLessThan(100_000);
      for (const { requests } of of('runc-unpacked')) expect(requests).toBe(0);
      expect(leftOvers()).toEqual([]);
    });
  });

  it('goes on when a container dies, with the reason', { timeout: 60_000 }, async () => {
    await withTemporaryDirectory(async (directory) => {
      const fails = (await makeWorkloads(directory))[2] ?? '';
      const place = ['--images', `oci:${path.join(directory, 'images')}`];
      const options = ['--lanes', 'runc-unpacked', '--samples', '2', '--no-drop-caches', '--json'];
      const { status, stdout, stderr } = await sluice(['bench', ...place, ...options, fails]);
      expect(status, stderr).toBe(0);
      const { samples } = JSON.parse(stdout) as BenchResult;
      expect(samples.map(({ order }) => order)).toEqual([0, 1]);
      for (const { error } of samples) expect(error).toMatch(/ended with status 7 before it was ready.*ready/);
    });
  });

  it('cleans up when it is interrupted', { timeout: 60_000 }, async () => {
    await withTemporaryDirectory(async (directory) => {
      const files = await makeWorkloads(directory);
      const place = ['--images', `oci:${path.join(directory, 'images')}`];
      const options = ['--lanes', 'runc-unpacked,sluice-lazy', '--samples', '1000', '--no-drop-caches', '--json'];
      const running = new Sluice(['bench', ...place, ...options, files[1] ?? '']);
      let said = '';
      running.process.stderr?.on('data', (text: Buffer) => {
        said += text.toString();
      });
      await eventually('a first sample', () => (/ready after/.test(said) ? true : undefined), 40_000);
      running.process.kill('SIGINT');
      const ended = await running.ended;
      expect(ended.status).toBe(130);
      expect(leftOvers()).toEqual([]);
    });
  });
});

describe('sluice bench, asked for what it cannot do', () => {
  it.each([
    ['a lane', ['--lanes', 'sluice-lazy,rocket']],
    ['a link', ['--link', 'fast']],
    ['a seed', ['--seed', '-1']],
    ['a number of samples', ['--samples', '0']],
    ['a workload', ['none-such']],
    ['a workload whose image lies nowhere', ['python']],
  ])('refuses %s', async (_what, args) => {
    const ended = await sluice(['bench', '--json', ...args]);
    expect([ended.status, errorCode(ended)]).toEqual([2, 'SLUICE_OPTION_INVALID']);
  });

  it('names all lanes in its help', async () => {
    const { stdout } = await sluice(['bench', '--help']);
    for (const lane of laneNames) expect(stdout).toContain(lane);
  });
});
