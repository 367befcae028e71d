import { afterEach, describe, expect, it } from 'vitest';
import { RegistryError } from '../../src/errors.ts';
import type { ImageSource, ImageTarget } from '../../src/oci/image.ts';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { collect, type MemoryBlob, putImage, randomBlob, smallImage, streamOf } from '../support/image.ts';
import type { Fault } from '../support/registry/faults.ts';
import { TestRegistry, type TestRegistryOptions } from '../support/registry/test-registry.ts';

/** Three pieces of an upload. */
const largeBytes = 34_000_000;

const quick = { attempts: 4, baseMs: 1, maximumMs: 4, deadlineMs: 20_000 };

const opened: { close(): Promise<void> }[] = [];

function opening<T extends ImageSource | ImageTarget>(one: T): T {
  opened.unshift(one);
  return one;
}

afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

/** A registry, and a client of it that does not wait long. */
async function setUp(serverOptions: TestRegistryOptions = {}, clientOptions: RegistryOptions = {}) {
  const registry = await TestRegistry.start(serverOptions);
  opened.push(registry);
  const options: RegistryOptions = { credentials: 'anonymous', retry: quick, stallMs: 400, ...clientOptions };
  const reference = parseReference(`docker://${registry.host}/team/app:v1`) as RegistryReference;
  return {
    registry,
    source: opening(openRegistryImage(reference, options)),
    target: opening(openRegistryTarget(reference, options)),
  };
}

async function withBlob(length: number, serverOptions: TestRegistryOptions = {}, clientOptions: RegistryOptions = {}) {
  const blob = randomBlob(length);
  const parts = await setUp(serverOptions, clientOptions);
  await parts.target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
  parts.registry.requests.clear();
  return { ...parts, blob };
}

const range = { start: 1000, end: 60_000 };

async function expectRange(source: ImageSource, blob: MemoryBlob): Promise<void> {
  const read = await collect(source.readBlob(blob.descriptor, range));
  expect(read.equals(blob.bytes.subarray(range.start, range.end))).toBe(true);
}

describe('readBlob() gets the right bytes in spite of', () => {
  const faults: readonly (readonly [string, Fault, number])[] = [
    ['a connection that is closed', { kind: 'drop' }, 1],
    ['a connection that is closed again and again', { kind: 'drop' }, 3],
    ['a body that breaks off', { kind: 'truncate', after: 20_000 }, 1],
    ['a body that breaks off at once', { kind: 'truncate', after: 0 }, 2],
    ['a body that stalls', { kind: 'stall', after: 20_000 }, 1],
    ['an answer that does not come', { kind: 'delay', ms: 2_500 }, 1],
    ['a short delay', { kind: 'delay', ms: 20 }, 1],
    ['429', { kind: 'status', status: 429, headers: { 'retry-after': '0' } }, 2],
    ['500', { kind: 'status', status: 500 }, 1],
    ['502', { kind: 'status', status: 502 }, 1],
    ['503 with Retry-After', { kind: 'status', status: 503, headers: { 'retry-after': '1' } }, 1],
    ['200 and the whole blob', { kind: 'ignore-range' }, 1],
    ['another range than asked for', { kind: 'headers', headers: { 'content-range': 'bytes 0-58999/100000' } }, 1],
    ['a range nobody named', { kind: 'headers', headers: { 'content-range': '' } }, 1],
    [
      '206 to several ranges',
      { kind: 'headers', headers: { 'content-range': '', 'content-type': 'multipart/byteranges' } },
      1,
    ],
  ];
  it.each(faults)('%s', async (_, fault, times) => {
    const { registry, source, blob } = await withBlob(100_000);
    registry.faults.add({ on: 'blob', times, fault });
    await expectRange(source, blob);
  });

  it('many breaks, each after some progress', async () => {
    const { registry, source, blob } = await withBlob(100_000);
    registry.faults.add({ on: 'blob', times: 10, fault: { kind: 'truncate', after: 5_000 } });
    await expectRange(source, blob);
    const ranges = registry.requests.of('blob').map((request) => request.range);
    expect(ranges.slice(0, 3)).toEqual(['bytes=1000-59999', 'bytes=6000-59999', 'bytes=11000-59999']);
  });

  it('a 200 that breaks off', async () => {
    const { registry, source, blob } = await withBlob(100_000);
    registry.faults.add({ on: 'blob', times: 2, fault: { kind: 'ignore-range' } });
    registry.faults.add({ on: 'blob', times: 1, fault: { kind: 'truncate', after: 30_000 } });
    await expectRange(source, blob);
  });

  it('an outage that ends', async () => {
    const patient = { ...quick, attempts: 50, baseMs: 10, maximumMs: 20 };
    const { registry, source, blob } = await withBlob(100_000, {}, { retry: patient });
    const port = Number(new URL(registry.url).port);
    await registry.pause();
    const reading = expectRange(source, blob);
    await registry.resume(port);
    await reading;
  });
});

describe('readBlob() gives up', () => {
  const cases: readonly (readonly [string, Fault, string, boolean, number])[] = [
    ['when every connection is closed', { kind: 'drop' }, 'SLUICE_REGISTRY_UNREACHABLE', true, 4],
    ['on 416, at once', { kind: 'status', status: 416 }, 'SLUICE_REGISTRY_RANGE', true, 1],
    ['on 403, at once', { kind: 'status', status: 403, code: 'DENIED' }, 'SLUICE_REGISTRY_DENIED', false, 1],
    ['on 404, at once', { kind: 'status', status: 404, code: 'BLOB_UNKNOWN' }, 'SLUICE_BLOB_NOT_FOUND', false, 1],
    ['on 400, at once', { kind: 'status', status: 400 }, 'SLUICE_REGISTRY_PROTOCOL', false, 1],
    [
      'on 429 for longer than its patience',
      { kind: 'status', status: 429, headers: { 'retry-after': '3600' } },
      'SLUICE_REGISTRY_TOO_MANY_REQUESTS',
      true,
      1,
    ],
    [
      'on a blob of another size',
      { kind: 'headers', headers: { 'content-range': 'bytes 1000-59999/70000' } },
      'SLUICE_SIZE_MISMATCH',
      false,
      1,
    ],
    [
      'on an encoded body',
      { kind: 'headers', headers: { 'content-encoding': 'gzip' } },
      'SLUICE_REGISTRY_PROTOCOL',
      false,
      1,
    ],
    [
      'on a redirect into the open',
      { kind: 'status', status: 307, headers: { location: 'ftp://user:pw@h/x?sig=1' } },
      'SLUICE_REGISTRY_PROTOCOL',
      false,
      1,
    ],
    [
      'on a redirect to itself',
      { kind: 'status', status: 307, headers: { location: '?again' } },
      'SLUICE_REGISTRY_PROTOCOL',
      false,
      6,
    ],
  ];
  it.each(cases)('%s', async (_, fault, code, retryable, requests) => {
    const { registry, source, blob } = await withBlob(100_000);
    registry.faults.add({ on: 'blob', times: 100, fault });
    const error = await collect(source.readBlob(blob.descriptor, range)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, retryable });
    expect(String(error)).not.toMatch(/pw@|sig=/);
    expect(registry.requests.of('blob')).toHaveLength(requests);
  });

  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString();
  it.each([
    ['in seconds', '120', 120_000, 120_000],
    ['by date', inAnHour, 3_500_000, 3_600_000],
    ['by a date that is over', 'Wed, 21 Oct 2015 07:28:00 GMT', 0, 0],
    ['longer than anybody waits', '999999999999', 86_400_000, 86_400_000],
  ])('and a place tells how long it asked to be left alone %s', async (_, header, least, most) => {
    const { registry, source, blob } = await withBlob(1000);
    const fault: Fault = { kind: 'status', status: 503, headers: { 'retry-after': header } };
    registry.faults.add({ on: 'blob', times: 9, fault });
    const [place] = source.places ?? [];
    const error = await collect(place!.readBlob(blob.descriptor)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RegistryError);
    const { retryAfterMs } = (error as RegistryError).facts;
    expect(retryAfterMs).toBeGreaterThanOrEqual(least);
    expect(retryAfterMs).toBeLessThanOrEqual(most);
    expect(registry.requests.of('blob')).toHaveLength(1);
  });

  it('with the registry’s own words among the facts', async () => {
    const { registry, source, blob } = await withBlob(1000);
    registry.faults.add({ on: 'blob', fault: { kind: 'status', status: 403, code: 'DENIED' } });
    const error = await collect(source.readBlob(blob.descriptor)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RegistryError);
    expect(error).toMatchObject({ facts: { registryCode: 'DENIED', registryMessage: 'denied', status: 403 } });
  });

  it('when every body stalls', async () => {
    const { registry, source, blob } = await withBlob(1000, {}, { retry: { ...quick, attempts: 2 } });
    registry.faults.add({ on: 'blob', times: 9, fault: { kind: 'stall', after: 0 } });
    await expect(collect(source.readBlob(blob.descriptor))).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_TIMEOUT' });
    expect(registry.requests.of('blob')).toHaveLength(2);
  });

  it('on a host that is not there', async () => {
    const { registry, source } = await setUp();
    await registry.pause();
    await expect(source.resolve()).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_UNREACHABLE', retryable: true });
  });

  it('while it waits, when it is told to', async () => {
    const { registry, source, blob } = await withBlob(1000, {}, { retry: { ...quick, deadlineMs: 1e9 } });
    const wait: Fault = { kind: 'status', status: 503, headers: { 'retry-after': '3600' } };
    registry.faults.add({ on: 'blob', times: 9, fault: wait });
    const reading = collect(source.readBlob(blob.descriptor, undefined, AbortSignal.timeout(50)));
    await expect(reading).rejects.toThrow(/abort/i);
  });
});

describe('readBlob() fetches', () => {
  it('what it was asked for and nothing more', async () => {
    const { registry, source, blob } = await withBlob(1_000_000);
    await collect(source.readBlob(blob.descriptor, { start: 10, end: 110 }));
    expect(registry.requests.bytes()).toBe(100);
  });

  it('over one connection when one request follows the other', async () => {
    const { registry, source, blob } = await withBlob(100_000);
    const before = registry.connections;
    for (let i = 0; i < 20; i++) await expectRange(source, blob);
    // The second one is opened while the first is still being given back.
    expect(registry.connections - before).toBeLessThanOrEqual(2);
  });

  it('over as many connections as allowed', async () => {
    const { registry, source, blob } = await withBlob(100_000, {}, { connections: 3 });
    registry.faults.add({ on: 'blob', times: 30, fault: { kind: 'delay', ms: 5 } });
    const before = registry.connections;
    await Promise.all(Array.from({ length: 30 }, () => expectRange(source, blob)));
    expect(registry.connections - before).toBeLessThanOrEqual(3);
  });

  it('no more than was read when its reader leaves', async () => {
    const { registry, source, blob } = await withBlob(8_000_000);
    for await (const chunk of source.readBlob(blob.descriptor)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    expect(registry.requests.bytes('blob')).toBeLessThan(blob.bytes.length);
    await expectRange(source, blob);
  });
});

describe('readBlob() over redirects', () => {
  it('asks the registry once, and keeps the token to itself', async () => {
    const { registry, source, blob } = await withBlob(100_000, { redirectBlobs: true, auth: { kind: 'token' } });
    for (let i = 0; i < 3; i++) await expectRange(source, blob);
    expect(registry.requests.of('blob').at(-1)?.authorization).toBe('Bearer');
    expect(registry.requests.of('blob').filter(({ status }) => status === 307)).toHaveLength(1);
    expect(registry.requests.of('signed').map(({ authorization }) => authorization)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it.each([400, 401, 403, 404, 410])('asks again when the signed URL answers %d', async (status) => {
    const { registry, source, blob } = await withBlob(100_000, { redirectBlobs: true });
    await expectRange(source, blob);
    registry.faults.add({ on: 'signed', fault: { kind: 'status', status } });
    await expectRange(source, blob);
    expect(registry.requests.of('blob')).toHaveLength(2);
  });

  it('asks again when the signed URL is over, also in the middle of a blob', async () => {
    const { registry, source, blob } = await withBlob(2_000_000, { redirectBlobs: true });
    registry.faults.add({ on: 'signed', fault: { kind: 'truncate', after: 500_000 } });
    let position = 0;
    for await (const chunk of source.readBlob(blob.descriptor)) {
      expect(Buffer.compare(chunk, blob.bytes.subarray(position, position + chunk.length))).toBe(0);
      position += chunk.length;
      registry.expireSignedUrls();
    }
    expect(position).toBe(blob.bytes.length);
    expect(registry.requests.of('signed').map(({ status }) => status)).toEqual([200, 403, 206]);
  });

  it('does not ask forever when every signed URL is refused', async () => {
    const { registry, source, blob } = await withBlob(1000, { redirectBlobs: true });
    registry.faults.add({ on: 'signed', times: 100, fault: { kind: 'status', status: 403 } });
    const error = await collect(source.readBlob(blob.descriptor)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'SLUICE_REGISTRY_DENIED' });
    expect(String(error) + JSON.stringify(error)).not.toContain('signature');
    expect(registry.requests.of('signed')).toHaveLength(1);
  });
});

describe('resolve()', () => {
  it.each<[string, Fault]>([
    ['a closed connection', { kind: 'drop' }],
    ['a body that breaks off', { kind: 'truncate', after: 10 }],
    ['503', { kind: 'status', status: 503 }],
    ['a general content type', { kind: 'headers', headers: { 'content-type': 'application/json; charset=utf-8' } }],
    ['no digest header', { kind: 'headers', headers: { 'docker-content-digest': '' } }],
  ])('copes with %s', async (_, fault) => {
    const { registry, source, target } = await setUp();
    const image = await smallImage();
    await putImage(target, image);
    registry.faults.add({ on: 'manifest', method: 'GET', fault });
    expect((await source.resolve()).descriptor).toEqual(image.manifest.descriptor);
  });

  it('refuses a manifest that is not the one its digest says', async () => {
    const { registry, source, target } = await setUp();
    const image = await smallImage();
    await putImage(target, image);
    for (const read of [() => source.resolve(), () => source.readManifest(image.manifest.descriptor)]) {
      registry.faults.add({ on: 'manifest', method: 'GET', fault: { kind: 'corrupt', at: 40 } });
      await expect(read()).rejects.toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH' });
    }
  });

  it('reads no manifest without end', async () => {
    const { registry, source, target } = await setUp();
    const image = await smallImage('a', { manifest: { annotations: { long: 'x'.repeat(4_193_500) } } });
    await putImage(target, image);
    registry.faults.add({ on: 'manifest', fault: { kind: 'headers', headers: { 'docker-content-digest': '' } } });
    expect((await source.resolve()).bytes.length).toBeGreaterThan(4_100_000);
    const endless: Fault = { kind: 'status', status: 200, code: 'X'.repeat(3_000_000) };
    registry.faults.add({ on: 'manifest', fault: endless });
    await expect(source.resolve()).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_PROTOCOL' });
  });
});

describe('tokens', () => {
  it('are asked for once a scope, also by many requests at once', async () => {
    const { registry, source, blob } = await withBlob(100_000, { auth: { kind: 'token' } });
    await Promise.all(Array.from({ length: 20 }, () => expectRange(source, blob)));
    expect(registry.requests.of('token')).toHaveLength(1);
  });

  it('are renewed when they stop working', async () => {
    const { registry, source, blob } = await withBlob(100_000, { auth: { kind: 'token', uses: 3 } });
    for (let i = 0; i < 10; i++) await expectRange(source, blob);
    expect(registry.requests.of('token')).toHaveLength(4);
  });

  it('are renewed once when they stop working for many requests at once', async () => {
    const { registry, source, blob } = await withBlob(100_000, { auth: { kind: 'token' } });
    await expectRange(source, blob);
    registry.revokeTokens();
    registry.requests.clear();
    await Promise.all(Array.from({ length: 6 }, () => expectRange(source, blob)));
    expect(registry.requests.of('token')).toHaveLength(1);
    expect(registry.requests.of('blob').filter(({ status }) => status === 401)).toHaveLength(6);
  });

  it('are renewed within an upload', async () => {
    const { registry, source, target } = await setUp({ auth: { kind: 'token', uses: 2 } });
    const blob = randomBlob(largeBytes);
    await target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
    await expectRange(source, blob);
    expect(registry.requests.of('upload', 'PATCH').filter(({ status }) => status === 401).length).toBeGreaterThan(0);
  });

  it('are asked for again before they expire by their own word', async () => {
    const { registry, source, blob } = await withBlob(1000, { auth: { kind: 'token', expiresIn: 0 } });
    await collect(source.readBlob(blob.descriptor));
    await new Promise((resolve) => setTimeout(resolve, 950));
    await collect(source.readBlob(blob.descriptor));
    expect(registry.requests.of('token')).toHaveLength(2);
    expect(registry.requests.of('blob').filter(({ status }) => status === 401)).toHaveLength(1);
  });

  it('are exchanged for an identity token', async () => {
    const auth = { kind: 'token', identityToken: 'idt', credentials: { username: 'u', password: 'p' } } as const;
    const { registry, source, blob } = await withBlob(
      100_000,
      { auth },
      { credentials: { kind: 'identity-token', token: 'idt' } },
    );
    await expectRange(source, blob);
    expect(registry.requests.of('token', 'POST')).toHaveLength(1);
  });

  it('come in spite of a token service that fails at first', async () => {
    const { registry, source, target } = await setUp({ auth: { kind: 'token' } });
    registry.faults.add({ on: 'token', times: 2, fault: { kind: 'status', status: 503 } });
    registry.faults.add({ on: 'token', times: 1, fault: { kind: 'drop' } });
    await putImage(target, await smallImage());
    await source.resolve();
  });

  it.each(['gopher://example.invalid/token', 'http://[nowhere'])('are never asked for at %s', async (realm) => {
    const { source } = await setUp({ auth: { kind: 'token', realm } });
    await expect(source.resolve()).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_PROTOCOL' });
  });
});

describe('putBlob()', () => {
  const blob = randomBlob(largeBytes);

  it.each<[string, string, Fault]>([
    ['the start fails', 'POST', { kind: 'status', status: 503 }],
    ['the start is lost', 'POST', { kind: 'drop', received: true }],
    ['a piece breaks off', 'PATCH', { kind: 'drop-upload', after: 1_000_000 }],
    ['a piece is refused', 'PATCH', { kind: 'status', status: 500 }],
    ['the answer to a piece is lost', 'PATCH', { kind: 'drop', received: true }],
    ['the end fails', 'PUT', { kind: 'status', status: 503 }],
    ['the answer to the end is lost', 'PUT', { kind: 'drop', received: true }],
  ])('stores a large blob when %s', async (_, method, fault) => {
    const { registry, source, target } = await setUp();
    registry.faults.add({ on: 'upload', method, skip: method === 'PATCH' ? 1 : 0, fault });
    await target.putBlob(blob.descriptor, () => streamOf(blob.bytes, 1_000_000));
    await expectRange(source, blob);
  });

  it('goes on within the piece that broke off', async () => {
    const { registry, target } = await setUp();
    let times = 0;
    const content = () => {
      times++;
      return streamOf(blob.bytes, 1_000_000);
    };
    registry.faults.add({
      on: 'upload',
      method: 'PATCH',
      skip: 1,
      times: 2,
      fault: { kind: 'drop-upload', after: 1_000_000 },
    });
    await target.putBlob(blob.descriptor, content);
    expect(times).toBe(1);
    expect(registry.requests.of('upload', 'GET')).toHaveLength(2);
  });

  it('starts again when the registry has forgotten the upload', async () => {
    const { registry, source, target } = await setUp();
    registry.faults.add({ on: 'upload', method: 'PATCH', skip: 1, fault: { kind: 'drop' } });
    registry.faults.add({ on: 'upload', method: 'GET', fault: { kind: 'status', status: 404 } });
    await target.putBlob(blob.descriptor, () => streamOf(blob.bytes, 1_000_000));
    expect(registry.requests.of('upload', 'POST')).toHaveLength(2);
    await expectRange(source, blob);
  });

  it('gives up, and takes the upload back, when it is refused', async () => {
    const { registry, target } = await setUp();
    registry.faults.add({ on: 'upload', method: 'PATCH', fault: { kind: 'status', status: 403, code: 'DENIED' } });
    const putting = target.putBlob(blob.descriptor, () => streamOf(blob.bytes));
    await expect(putting).rejects.toMatchObject({ code: 'SLUICE_REGISTRY_DENIED' });
    expect(registry.requests.of('upload', 'DELETE')).toHaveLength(1);
  });
});
