import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import type { ChunkStore } from '../../src/bootstrap/chunk-store.ts';
import type { ByteString } from '../../src/byte-string.ts';
import { BootstrapFiles } from '../../src/prefetch/image-files.ts';
import { sampleBootstrap } from '../support/sample-bootstrap.ts';

describe('BootstrapFiles.read()', () => {
  it('ends with its signal, also for those who share a chunk', async () => {
    const abort = new AbortController();
    const signals: (AbortSignal | undefined)[] = [];
    const never: ChunkStore = {
      read: (_device, _chunk, signal) => {
        signals.push(signal);
        return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
      },
    };
    const files = new BootstrapFiles(Bootstrap.open(sampleBootstrap(), undefined), never, abort.signal);
    const file = files.find('/small' as ByteString)!;
    const reads = Promise.allSettled([files.read(file, 0, 10), files.read(file, 10, 10)]);
    abort.abort();
    expect((await reads).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(signals).toEqual([abort.signal]);
  });
});
