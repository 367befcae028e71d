import { afterEach, describe, expect, it } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { collect, putImage, randomBlob, smallImage, streamOf } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { TlsFront } from '../support/tls-front.ts';
import { has } from '../support/tools.ts';

const opened: { close(): Promise<void> }[] = [];
const retry = { attempts: 6, baseMs: 1, maximumMs: 4, deadlineMs: 20_000 };
const length = 400_000;

if (!has('openssl')) console.warn('HTTP/2 is not tested: openssl is missing');

describe.skipIf(!has('openssl'))('a client that speaks HTTP/2', () => {
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });

  async function setUp(options: RegistryOptions = {}, serverSpeaks = true) {
    const registry = await TestRegistry.start();
    const front = await TlsFront.start(registry.host, serverSpeaks);
    opened.push(front, registry);
    const reference = parseReference(`docker://${front.host}/team/app:v1`) as RegistryReference;
    const all = {
      credentials: 'anonymous',
      ca: front.ca,
      http2: true,
      hostsDirectory: '',
      stallMs: 400,
      retry,
      ...options,
    } as const;
    const target = openRegistryTarget(reference, all);
    const [image, blob] = [await smallImage(), randomBlob(length)];
    await target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
    await putImage(target, image);
    await target.close();
    front.asked.length = 0;
    const source = openRegistryImage(reference, all);
    opened.unshift(source);
    const ranges = Array.from({ length: 20 }, (_, i) => ({ start: i * 20_000, end: (i + 1) * 20_000 }));
    const readRanges = async () => {
      const parts = await Promise.all(ranges.map((range) => collect(source.readBlob(blob.descriptor, range))));
      expect(Buffer.concat(parts).equals(blob.bytes)).toBe(true);
    };
    return { registry, front, source, image, blob, readRanges };
  }

  it('reads all ranges at once over few connections', async () => {
    const { front, source, image, readRanges } = await setUp();
    const before = front.connections;
    expect((await source.resolve()).descriptor).toEqual(image.manifest.descriptor);
    await readRanges();
    expect(front.asked.every((asked) => asked.startsWith('2.0 '))).toBe(true);
    expect(front.asked).toHaveLength(21);
    // The one that the first request took, and those that were dialled for what follows it.
    expect(front.connections - before).toBeLessThanOrEqual(8);
  });

  it('speaks HTTP/1.1 to a server that knows nothing else, and where it was not asked to', async () => {
    for (const [options, speaks] of [[{}, false] as const, [{ http2: false }, true] as const]) {
      const { front, readRanges } = await setUp(options, speaks);
      await readRanges();
      expect(front.asked.every((asked) => asked.startsWith('1.1 '))).toBe(true);
    }
  });

  it.each([
    ['a stream that is reset', 'reset'],
    ['a connection that is closed', 'close'],
    ['GOAWAY', 'goaway'],
  ] as const)('gets the right bytes in spite of %s', async (_, kind) => {
    const { front, readRanges } = await setUp();
    let count = 0;
    front.onAnswer = (stream) => {
      if (++count % 5 !== 0 || count > 15) return;
      if (kind === 'reset') stream.close(2);
      else if (kind === 'close') stream.session?.destroy();
      else front.goAway();
    };
    await readRanges();
    expect(count).toBeGreaterThan(15);
    front.onAnswer = undefined;
    await readRanges();
  });

  it('gets the right bytes in spite of answers that break off, stall, or fail', async () => {
    const { registry, readRanges } = await setUp();
    registry.faults.add({ on: 'blob', times: 3, fault: { kind: 'truncate', after: 5_000 } });
    registry.faults.add({ on: 'blob', skip: 5, times: 2, fault: { kind: 'stall', after: 5_000 } });
    registry.faults.add({ on: 'blob', skip: 8, times: 3, fault: { kind: 'status', status: 503 } });
    registry.faults.add({ on: 'blob', skip: 12, times: 2, fault: { kind: 'drop' } });
    await readRanges();
  });

  it('ends a body that nobody reads on', async () => {
    const { source, blob, readRanges } = await setUp();
    for await (const chunk of source.readBlob(blob.descriptor)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await readRanges();
  });
});
