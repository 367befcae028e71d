import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { Fill } from '../../src/mount/fill.ts';
import { type ImageContent, openContent } from '../../src/mount/image-content.ts';
import { openSource } from '../../src/transport/open.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const mebibyte = 2 ** 20;
/** No compressor makes it smaller: a byte read is a byte fetched. */
const size = 24 * mebibyte;

describe('Fill, of an image in a registry', () => {
  let directory: string;
  let registry: TestRegistry;
  let image: string;
  let cache: ChunkCache;
  let caches = 0;
  const opened: { content: ImageContent; fill: Fill }[] = [];

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const layer = await tarBytes([{ name: 'large', content: content('large', size) }]);
    image = `docker://${registry.host}/app:1`;
    await convertLayers(memoryImage([layer]), directory, { target: image });
  });
  afterAll(async () => {
    await registry.close();
    await removeTemporaryDirectory(directory);
  });
  beforeEach(() => {
    cache = ChunkCache.open(path.join(directory, `cache-${caches++}`), { maximumBytes: 2 ** 30, minimumFreeBytes: 0 });
  });
  afterEach(async () => {
    for (const { content, fill } of opened.splice(0)) {
      fill.close();
      await fill.done.catch(() => undefined);
      await content.close();
    }
    cache.close();
    registry.faults.clear();
  });

  async function open(): Promise<{ content: ImageContent; fill: Fill }> {
    const content = await openContent({
      source: openSource(image, { plainHttp: true }),
      cache,
      failure: { kind: 'eio' },
    });
    const { local } = content;
    const { devices, prefetch: eager, background } = content.chunks;
    const fill = new Fill({ reference: image, devices, local, chunks: { eager, background }, cache });
    registry.requests.clear();
    opened.push({ content, fill });
    return { content, fill };
  }

  const asked = () => registry.requests.of('blob', 'GET');

  it('fetches every byte once, in long requests', async () => {
    const { content, fill } = await open();
    fill.start({ kind: 'eager' });
    await fill.done;
    expect(content.local.local).toEqual(content.local.total);
    expect(registry.requests.bytes('blob')).toBeLessThan(1.01 * size);
    expect(asked().length).toBeLessThan(60);
  });

  it('goes on where another one was interrupted', async () => {
    const first = await open();
    first.fill.start({ kind: 'background', bytesPerSecond: 8 * mebibyte });
    await eventually('a part to be local', () => (first.content.local.local.bytes > 4 * mebibyte ? true : undefined));
    first.fill.close();
    await expect(first.fill.done).rejects.toMatchObject({ code: 'SLUICE_CANCELLED' });
    const { content, fill } = await open();
    const { missingBytes } = content.local;
    expect(missingBytes).toBeLessThan(size - 4 * mebibyte);
    fill.start({ kind: 'background' });
    await fill.done;
    expect(registry.requests.bytes('blob')).toBeLessThan(1.05 * missingBytes);
  });

  it('lets demand go first', async () => {
    const { content, fill } = await open();
    registry.faults.add({ on: 'blob', times: 1_000, fault: { kind: 'delay', ms: 30 } });
    fill.start({ kind: 'background' });
    await eventually('requests', () => (asked().length >= 3 ? true : undefined));
    const before = asked().length;
    const chunks = content.image.bootstrap.devices[0]!.chunks;
    const last = chunks.count - 1;
    await content.chunks.chunks.read(0, last);
    const range = `bytes=${chunks.compressedOffset(last)}-`;
    // It meets what was on its way already, and nothing that was waiting.
    const overtakenBy = asked()
      .slice(before)
      .findIndex((request) => request.range?.startsWith(range));
    expect(overtakenBy).toBeGreaterThanOrEqual(0);
    expect(overtakenBy).toBeLessThan(3);
    expect(content.local.missingBytes).toBeGreaterThan(size / 4);
  });

  it('eager, fails when the registry is gone', async () => {
    const { fill } = await open();
    registry.faults.add({ on: 'blob', times: 1_000, fault: { kind: 'status', status: 404 } });
    fill.start({ kind: 'eager' });
    await expect(fill.done).rejects.toMatchObject({ code: 'SLUICE_BLOB_NOT_FOUND' });
  });

  it('in the background, gets over an outage', async () => {
    const { content, fill } = await open();
    registry.faults.add({ on: 'blob', times: 1_000, fault: { kind: 'status', status: 404 } });
    fill.start({ kind: 'background' });
    await eventually('the fill to wait', () => (fill.state.phase === 'retrying' ? true : undefined));
    registry.faults.clear();
    await fill.done;
    expect(content.local.missingBytes).toBe(0);
  });
});
