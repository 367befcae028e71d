import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import type { DemoResult } from '../../src/demo/demo.ts';
import { mounts } from '../support/mounts.ts';
import { Sluice } from '../support/sluice.ts';
import { has, isRoot } from '../support/tools.ts';

const run = promisify(execFile);
const command = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
const timeout = 180_000;

// The run's TMPDIR is its own: what the demo leaves behind would be here.
afterEach(() => {
  expect(readdirSync(os.tmpdir()).filter((name) => name.startsWith('sluice-demo-'))).toEqual([]);
  expect(mounts().filter(({ target }) => target.startsWith(`${os.tmpdir()}/sluice-demo-`))).toEqual([]);
});

/** What has to be true of every demo. */
function expectSane({ image, converted, pull, lazy, repeated, hidden, flippedBit }: DemoResult): void {
  expect(image.layers).toBe(3);
  expect(converted.size).toBeLessThan(image.size);
  expect(pull.fetched).toBeGreaterThan(image.size);
  expect(pull.fetched).toBeLessThan(image.size * 1.01);
  expect(lazy.result).toBe(pull.result);
  expect(lazy.result).toMatch(/^v\d+\.\d+\.\d+ [0-9a-f]{64}$/);
  expect(lazy.share).toBeCloseTo(lazy.fetched / image.size, 6);
  expect(lazy.fetched).toBeGreaterThan(0);
  expect(repeated.notStoredAgain).toBeGreaterThan(0);
  expect(hidden.size).toBeGreaterThan(0);
  expect(hidden.fetched).toBe(0);
  expect(flippedBit.readAfterwards).toBe(true);
}

/** Resolves when the command has printed something on stdout: with --keep, its result. */
const printed = ({ process }: Sluice): Promise<void> =>
  new Promise((resolve) => process.stdout?.once('data', () => resolve()));

describe('sluice demo', () => {
  it('fetches a part, gives the result of a full pull, notices a flipped bit, and stays until Ctrl-C', {
    timeout,
  }, async () => {
    const demo = new Sluice(['demo', '--json', '--keep']);
    await Promise.race([printed(demo), demo.ended]);
    demo.process.kill('SIGINT');
    const { status, stdout, stderr } = await demo.ended;
    expect(status, stderr).toBe(0);
    const result = JSON.parse(stdout) as DemoResult;
    expectSane(result);
    if (result.lazy.notMounted !== undefined) return;
    expect(result.lazy.share).toBeLessThan(0.5);
    expect(result.flippedBit.refused).toBe('EIO');
  });

  it('removes everything when it is interrupted', { timeout }, async () => {
    const demo = new Sluice(['demo']);
    await new Promise<void>((resolve) => {
      demo.process.stderr?.on('data', (text: Buffer) => {
        if (text.includes('converting')) resolve();
      });
    });
    demo.process.kill('SIGINT');
    const { status, stderr } = await demo.ended;
    expect(status).toBe(130);
    expect(stderr).toContain('SLUICE_CANCELLED');
  });

  it.skipIf(!isRoot() || !has('unshare'))(
    'reads through the verified reader where nothing can be mounted',
    { timeout },
    async () => {
      const script = 'mount --bind /dev/null /dev/fuse && exec "$@"';
      const args = ['--mount', 'sh', '-c', script, 'sh', process.execPath, command, 'demo', '--json'];
      const { stdout } = await run('unshare', args);
      const result = JSON.parse(stdout) as DemoResult;
      expectSane(result);
      expect(result.lazy.notMounted).toMatch(/^Cannot /);
      expect(result.flippedBit.refused).toMatch(/^SLUICE_/);
    },
  );
});
