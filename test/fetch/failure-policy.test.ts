import { setImmediate as turn } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { NotFoundError, RegistryError } from '../../src/errors.ts';
import type { FailurePolicy } from '../../src/fetch/failure-policy.ts';
import { RetriedChunks, type RetryClock } from '../../src/fetch/retried.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { chunkContent, type Fault, MemoryBlobSource, type SampleBlob, sampleBlob } from './memory-blob-source.ts';
import { fetchedOf, queueOf } from './support.ts';

let blob: SampleBlob;

beforeAll(async () => {
  await loadZstd();
  blob = sampleBlob(50);
});

class TestClock implements RetryClock {
  time = 0;
  now(): number {
    return this.time;
  }
  random(): number {
    return 1;
  }
  async wait(milliseconds: number): Promise<void> {
    this.time += milliseconds;
    await turn();
  }
}

const failing =
  (code: 'SLUICE_REGISTRY_UNREACHABLE' | 'SLUICE_REGISTRY_UNAUTHORIZED', facts = {}): Fault =>
  () => {
    throw new RegistryError(code, 'Cannot read blob: no', { facts });
  };
const missing: Fault = () => {
  throw new NotFoundError('SLUICE_BLOB_NOT_FOUND', 'Cannot read blob: answered 404');
};
const always = (fault: Fault): Fault[] => Array.from({ length: 200 }, () => fault);

function setUp(policy: FailurePolicy, ...faults: Fault[]) {
  const source = new MemoryBlobSource([blob]);
  source.faults.push(...faults);
  const clock = new TestClock();
  return { source, clock, chunks: new RetriedChunks(queueOf([source], { blobs: [blob] }), policy, clock) };
}

const wait: FailurePolicy = { kind: 'wait', milliseconds: 20_000 };
const down = failing('SLUICE_REGISTRY_UNREACHABLE');

describe('RetriedChunks', () => {
  it('eio: gives the error of the first try, and tries anew at the next read', async () => {
    const { source, chunks } = setUp({ kind: 'eio' }, down);
    await expect(chunks.read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNREACHABLE' });
    expect(source.requests.length).toBe(1);
    expect(Buffer.compare(await chunks.read(0, 1), chunkContent(1))).toBe(0);
  });

  it('offline: asks nobody', async () => {
    const { source, chunks } = setUp({ kind: 'offline' });
    await expect(chunks.read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_OFFLINE', retryable: false });
    expect(source.requests.length).toBe(0);
  });

  it.each([
    ['an outage until the deadline', down, 15_000, 20_000],
    ['a blob that is missing for five seconds', missing, 2_000, 5_000],
    ['refused credentials for five seconds', failing('SLUICE_REGISTRY_UNAUTHORIZED'), 2_000, 5_000],
    [
      'as long as the registry asks for',
      failing('SLUICE_REGISTRY_UNREACHABLE', { retryAfterMs: 9_000 }),
      18_000,
      18_000,
    ],
    ['not at all for longer than the deadline', failing('SLUICE_REGISTRY_UNREACHABLE', { retryAfterMs: 30_000 }), 0, 0],
  ])('wait: waits out %s', async (_, fault, least, most) => {
    const { chunks, clock } = setUp(wait, ...always(fault));
    await expect(chunks.read(0, 1)).rejects.toThrow(/^Cannot read blob/);
    expect(clock.time).toBeGreaterThanOrEqual(least);
    expect(clock.time).toBeLessThanOrEqual(most);
  });

  it('wait: a refusal heals', async () => {
    const { chunks } = setUp(wait, missing, failing('SLUICE_REGISTRY_UNAUTHORIZED'));
    expect(Buffer.compare(await chunks.read(0, 1), chunkContent(1))).toBe(0);
  });

  it('wait: each reader has a deadline of its own, and a fetch goes on for who has time', async () => {
    const scheduler = new FetchScheduler();
    const source = new MemoryBlobSource([blob]);
    source.hold();
    const open = (milliseconds: number) =>
      fetchedOf([source], { blobs: [blob], scheduler }, { kind: 'wait', milliseconds });
    const patient = open(10_000).demand.read(0, 1);
    await expect(open(50).demand.read(0, 1)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_TIMEOUT' });
    source.release();
    expect(Buffer.compare(await patient, chunkContent(1))).toBe(0);
    expect(source.requests.length).toBe(1);
  });

  it('wait: what nobody waits for yet has no deadline while it is queued', async () => {
    const source = new MemoryBlobSource([blob]);
    source.hold();
    const { prefetch, demand } = fetchedOf([source], { blobs: [blob] }, { kind: 'wait', milliseconds: 50 });
    const ahead = prefetch.read(0, 1);
    await expect(demand.read(0, 2)).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_TIMEOUT' });
    source.release();
    expect(Buffer.compare(await ahead, chunkContent(1))).toBe(0);
  });
});
