import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseReference, type RegistryReference } from '../../src/oci/reference.ts';
import { openRegistryImage } from '../../src/registry/registry-image.ts';
import type { RegistryOptions } from '../../src/registry/registry-options.ts';
import { openRegistryTarget } from '../../src/registry/registry-target.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { putImage, smallImage } from '../support/image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { has } from '../support/tools.ts';

const anonymous: RegistryOptions = { credentials: 'anonymous' };
const reference = (host: string) => parseReference(`docker://${host}/app:v1`) as RegistryReference;

async function resolve(host: string, options: RegistryOptions): Promise<unknown> {
  const source = openRegistryImage(reference(host), { ...anonymous, ...options });
  try {
    return (await source.resolve()).descriptor;
  } finally {
    await source.close();
  }
}

describe.skipIf(!has('docker-registry', 'openssl'))('a client of docker-registry over TLS', () => {
  let registry: DockerRegistry;

  beforeAll(async () => {
    registry = await DockerRegistry.start({ tls: true });
  });
  afterAll(() => registry.close());

  it('trusts the certificate it was given', async () => {
    const options = registry.ca ? { ...anonymous, ca: registry.ca } : anonymous;
    const target = openRegistryTarget(reference(registry.host), options);
    const image = await smallImage();
    await putImage(target, image);
    await target.close();
    expect(await resolve(registry.host, options)).toEqual(image.manifest.descriptor);
  });

  it('trusts no other, at once', async () => {
    const refused = { code: 'SLUICE_REGISTRY_PROTOCOL', retryable: false };
    await expect(resolve(registry.host, { plainHttp: false })).rejects.toMatchObject(refused);
  });

  it('does not speak http to it', async () => {
    await expect(resolve(registry.host, { plainHttp: true })).rejects.toMatchObject({
      code: 'SLUICE_REGISTRY_PROTOCOL',
    });
  });
});

describe('a client of a registry that speaks http', () => {
  it('does not fall back to it from https', async () => {
    const registry = await TestRegistry.start();
    try {
      await expect(resolve(registry.host, { plainHttp: false })).rejects.toMatchObject({
        code: 'SLUICE_REGISTRY_PROTOCOL',
        retryable: false,
      });
      expect(registry.requests.all).toEqual([]);
    } finally {
      await registry.close();
    }
  });
});
