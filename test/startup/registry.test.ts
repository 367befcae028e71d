import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openLink, parseLink } from '../../src/startup/link.ts';
import { RequestLog } from '../../src/startup/probes/request-log.ts';
import { startBenchRegistry } from '../../src/startup/registry.ts';
import { openSource, openTarget } from '../../src/transport/open.ts';
import { putImage, smallImage } from '../support/image.ts';
import { Link } from '../support/link.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const sluice = [process.execPath, fileURLToPath(new URL('../../bin/sluice.js', import.meta.url)), 'bench'];
const signal = new AbortController().signal;

/** Runs `use` with a PATH on which there is nothing. */
async function withoutPath<Result>(use: () => Promise<Result>): Promise<Result> {
  const before = process.env.PATH;
  process.env.PATH = '/none';
  try {
    return await use();
  } finally {
    process.env.PATH = before;
  }
}

describe.skipIf(!isRoot() || !has('docker-registry', 'nsenter', 'cc'))('startBenchRegistry()', () => {
  it('says in its log when a request begins, whichever registry it is', async () => {
    await (await Link.open({ megabitsPerSecond: 0, roundTripMs: 0 })).close();
    const counts: [boolean, number][] = [];
    for (const installed of [true, false]) {
      await withTemporaryDirectory(async (directory) => {
        // The registry is asked by this process, so that it has to listen where everybody can.
        const link = { ...(await openLink(parseLink('none'), directory)), server: here, client: here };
        const start = () => startBenchRegistry(link, directory, sluice, signal);
        const registry = await (installed ? start() : withoutPath(start));
        const log = new RequestLog(registry.log);
        try {
          const reference = `docker://${link.registryHost}/a:b`;
          const target = openTarget(reference, {});
          await putImage(target, await smallImage());
          await target.close();
          const before = log.count();
          const source = openSource(reference, {});
          await source.resolve();
          await source.close();
          counts.push([before > 0, log.count() - before]);
          expect((await run('readlink', [`/proc/${registry.pid}/exe`])).trim()).toMatch(
            installed ? /docker-registry$/ : /node/,
          );
        } finally {
          log.close();
          await registry.close();
          await link.close();
        }
      });
    }
    expect(counts).toEqual([
      [true, 1],
      [true, 1],
    ]);
  });

  it('says why it cannot be started', async () => {
    await withTemporaryDirectory(async (directory) => {
      const link = { ...(await openLink(parseLink('none'), directory)), server: here };
      try {
        const failing = { ...link, registry: { address: '203.0.113.1', port: 5000 } };
        await expect(startBenchRegistry(failing, directory, sluice, signal)).rejects.toMatchObject({
          code: 'SLUICE_BENCH_FAILED',
          message: expect.stringContaining('203.0.113.1'),
        });
      } finally {
        await link.close();
      }
    });
  });
});

function here(...words: readonly string[]): readonly [string, ...string[]] {
  return words as readonly [string, ...string[]];
}
