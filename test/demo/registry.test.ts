import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmbeddedRegistry, startRegistry } from '../../src/demo/registry.ts';
import { openLayoutTarget } from '../../src/layout/layout-target.ts';
import { digestHex } from '../../src/oci/digest.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { putImage, smallImage } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';

// The registry is in this process: nothing may block it.
const run = promisify(execFile);

let folder: string;
let registry: EmbeddedRegistry;

beforeAll(async () => {
  folder = makeTemporaryDirectory();
  registry = await startRegistry(path.join(folder, 'registry'));
});
afterAll(async () => {
  await registry.close();
  await removeTemporaryDirectory(folder);
});

describe('startRegistry()', () => {
  const get = (target: string, init?: RequestInit) => fetch(`http://${registry.host}${target}`, init);

  it.each([
    ['/v2/', 'GET', 200, undefined],
    ['/', 'GET', 404, 'UNSUPPORTED'],
    ['/v2/a/manifests/none', 'GET', 404, 'MANIFEST_UNKNOWN'],
    [`/v2/a/blobs/sha256:${'0'.repeat(64)}`, 'GET', 404, 'BLOB_UNKNOWN'],
    ['/v2/a/blobs/sha256:..%2f..%2fetc', 'GET', 400, 'DIGEST_INVALID'],
    ['/v2/a/tags/list', 'GET', 404, 'NAME_UNKNOWN'],
    ['/v2/a/blobs/uploads/none', 'PATCH', 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['/v2/a/manifests/x', 'PUT', 400, 'MANIFEST_INVALID'],
  ])('answers %s %s with %d', async (target, method, status, code) => {
    const response = await get(target, { method, ...(method === 'GET' ? {} : { body: '{}' }) });
    expect(response.status).toBe(status);
    const body = await response.text();
    if (code) expect(JSON.parse(body)).toMatchObject({ errors: [{ code }] });
  });

  it('refuses a manifest whose blobs it does not have', async () => {
    const { manifest } = await smallImage('absent');
    const headers = { 'content-type': manifest.descriptor.mediaType };
    const response = await get('/v2/a/manifests/x', { method: 'PUT', headers, body: Buffer.from(manifest.bytes) });
    expect(await response.json()).toMatchObject({ errors: [{ code: 'MANIFEST_BLOB_UNKNOWN' }] });
  });

  it('deletes a manifest and the tags that name it', async () => {
    const index = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}';
    const headers = { 'content-type': 'application/vnd.oci.image.index.v1+json' };
    const put = await get('/v2/gone/manifests/x', { method: 'PUT', headers, body: index });
    const target = `/v2/gone/manifests/${put.headers.get('docker-content-digest')}`;
    expect((await get(target)).status).toBe(200);
    expect((await get(target, { method: 'DELETE' })).status).toBe(202);
    expect((await get(target)).status).toBe(404);
    expect((await get('/v2/gone/manifests/x')).status).toBe(404);
    expect((await get(target, { method: 'DELETE' })).status).toBe(404);
  });
});

/** skopeo pushes and pulls; what it gets must be what it gave. The reference implementation is the control. */
const hosts: readonly (readonly [string, () => Promise<{ host: string; close(): Promise<void> }>])[] = [
  ['the embedded registry', async () => ({ host: registry.host, close: async () => {} })],
  ...(has('docker-registry') ? ([['docker-registry', () => DockerRegistry.start()]] as const) : []),
];

describe.skipIf(!has('skopeo'))('skopeo', () => {
  it.each(hosts)('copies through %s', async (name, open) => {
    const server = await open();
    try {
      const image = await smallImage('skopeo');
      const [layout, copy] = [path.join(folder, `${name} layout`), path.join(folder, `${name} copy`)];
      await putImage(openLayoutTarget({ transport: 'oci', path: layout, tag: 'v1' }), image);
      const remote = `docker://${server.host}/some/app:v1`;
      await run('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', `oci:${layout}:v1`, remote]);
      await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', remote, `dir:${copy}`]);
      expect(readFileSync(path.join(copy, 'manifest.json')).equals(image.manifest.bytes)).toBe(true);
      for (const { descriptor, bytes } of image.layers) {
        expect(readFileSync(path.join(copy, digestHex(descriptor.digest))).equals(bytes)).toBe(true);
      }
      const inspected = JSON.parse((await run('skopeo', ['inspect', '--tls-verify=false', remote])).stdout);
      expect(inspected).toMatchObject({ Digest: image.manifest.descriptor.digest, RepoTags: ['v1'] });
    } finally {
      await server.close();
    }
  });
});
