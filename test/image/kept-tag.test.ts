import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FileStore } from '../../src/cache/file-store.ts';
import type { ImageStale } from '../../src/image/channels.ts';
import { openImage } from '../../src/image/open-image.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import { openSource } from '../../src/transport/open.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import type { Fault } from '../support/registry/faults.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const options = { credentials: 'anonymous', hostsDirectory: '' } as const;
/** More than a test may take. */
const patient = { attempts: 100, baseMs: 500, maximumMs: 5_000, deadlineMs: 600_000 };

describe('an image that was opened by its tag before', () => {
  let folder: string;
  let registry: TestRegistry;
  let reference: string;
  let files: FileStore;
  let count = 0;
  const stale: ImageStale[] = [];
  const note = (message: unknown): void => void stale.push(message as ImageStale);

  beforeAll(async () => {
    await loadZstd();
    folder = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    reference = `docker://${registry.host}/app:v1`;
    await convertLayers(await smallImage(), folder, { target: reference });
    subscribe('sluice:image:stale', note);
  });
  beforeEach(async () => {
    files = new FileStore(path.join(folder, `cache-${count++}`), 2 ** 24);
    expect((await open()).resolvedFrom).toBeUndefined();
    stale.length = 0;
    registry.requests.clear();
  });
  afterEach(() => registry.faults.clear());
  afterAll(async () => {
    unsubscribe('sluice:image:stale', note);
    await registry?.close();
    await removeTemporaryDirectory(folder);
  });

  async function open(offline = false, name = reference) {
    const source = openSource(name, { ...options, retry: patient, stallMs: 60_000 });
    try {
      return await openImage(source, { files, offline });
    } finally {
      await source.close();
    }
  }

  it.each<[string, Fault]>([
    ['closes its connections', { kind: 'drop' }],
    ['answers 500', { kind: 'status', status: 500 }],
    ['answers 503 with Retry-After', { kind: 'status', status: 503, headers: { 'retry-after': '60' } }],
    ['answers 429', { kind: 'status', status: 429, headers: { 'retry-after': '60' } }],
    ['does not answer', { kind: 'delay', ms: 4_000 }],
    ['stops in the middle', { kind: 'truncate', after: 10 }],
  ])('opens at once when its registry %s, and says since when', async (_, fault) => {
    registry.faults.add({ times: 1000, fault });
    const image = await open();
    expect(image.resolvedFrom).toEqual({ kept: true, at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) });
    const digest = image.raw.descriptor.digest;
    expect(stale).toMatchObject([{ image: reference, digest, at: image.resolvedFrom?.at, error: expect.any(Error) }]);
    expect(registry.requests.all).toHaveLength(1);
  });

  it('opens when nobody listens at its registry’s port', async () => {
    const port = Number(registry.host.split(':')[1]);
    await registry.pause();
    try {
      expect((await open()).resolvedFrom).toMatchObject({ kept: true });
    } finally {
      await registry.resume(port);
    }
  });

  it.each<[string, Fault, string]>([
    ['it is gone', { kind: 'status', status: 404 }, 'SLUICE_IMAGE_NOT_FOUND'],
    ['it is not ours', { kind: 'status', status: 403 }, 'SLUICE_REGISTRY_DENIED'],
    ['nobody knows us', { kind: 'status', status: 401 }, 'SLUICE_REGISTRY_UNAUTHORIZED'],
    ['it is another one than it says', { kind: 'corrupt', at: 40 }, 'SLUICE_DIGEST_MISMATCH'],
  ])('does not open when its registry says that %s', async (_, fault, code) => {
    registry.faults.add({ on: 'manifest', times: 10, fault });
    await expect(open()).rejects.toMatchObject({ code });
    expect(stale).toEqual([]);
  });

  it('is asked for again as soon as its registry is back', async () => {
    registry.faults.add({ on: 'manifest', fault: { kind: 'status', status: 503 } });
    expect((await open()).resolvedFrom).toMatchObject({ kept: true });
    expect((await open()).resolvedFrom).toBeUndefined();
  });

  it('opens offline without a request, and nothing else does', async () => {
    expect((await open(true)).resolvedFrom).toMatchObject({ kept: true });
    const never = reference.replace(':v1', ':never');
    await expect(open(true, never)).rejects.toMatchObject({ code: 'SLUICE_OFFLINE', facts: {} });
    const unknown = describeBytes('', Buffer.from('unknown')).digest;
    const byDigest = reference.replace(':v1', `@${unknown}`);
    await expect(open(true, byDigest)).rejects.toMatchObject({ code: 'SLUICE_OFFLINE' });
    expect(registry.requests.all).toEqual([]);
  });

  it('does not open by a record that is damaged', async () => {
    const cache = path.join(folder, `cache-${count - 1}`);
    for (const name of readdirSync(cache)) {
      if (name.startsWith('tag-')) writeFileSync(path.join(cache, name), '{"digest":"sha256:../../etc","at":1}');
    }
    await expect(open(true)).rejects.toMatchObject({ code: 'SLUICE_OFFLINE' });
    expect((await open()).resolvedFrom).toBeUndefined();
    expect((await open(true)).resolvedFrom).toMatchObject({ kept: true });
  });

  it('opens offline from a layout, known or not: that is no network', async () => {
    const { reference: layout } = await convertLayers(await smallImage(), path.join(folder, 'layout'));
    expect((await open(true, layout)).resolvedFrom).toBeUndefined();
  });
});
