import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { annotation } from '../../src/image/annotations.ts';
import { openImage } from '../../src/image/open-image.ts';
import { writeManifest } from '../../src/oci/canonical-json.ts';
import type { Descriptor, ImageSource } from '../../src/oci/image.ts';
import type { JsonObject } from '../../src/oci/json.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { openSource } from '../../src/transport/open.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { smallImage } from '../support/image.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

interface Document {
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

describe('openImage()', () => {
  let directory: string;
  let source: ImageSource;
  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    const { reference } = await convertLayers(await smallImage(), directory);
    source = openSource(reference, {});
  });
  afterAll(async () => {
    await source?.close();
    await removeTemporaryDirectory(directory);
  });

  /** The image under a manifest that somebody changed, and signed for: its own digest is right. */
  async function openChanged(change: (document: Document) => object): Promise<unknown> {
    const { bytes } = await source.resolve();
    const document = JSON.parse(Buffer.from(bytes).toString()) as Document & JsonObject;
    const manifest = writeManifest(mediaType.ociManifest, { ...document, ...change(document) } as JsonObject);
    const changed: ImageSource = {
      reference: source.reference,
      resolve: async () => manifest,
      readManifest: (descriptor) => source.readManifest(descriptor),
      readBlob: (descriptor, range) => source.readBlob(descriptor, range),
      referrers: async () => [],
      localBlob: async () => undefined,
      close: async () => undefined,
    };
    return openImage(changed);
  }

  const annotated = (name: string, value: string | undefined) => (document: Document) => ({
    annotations: { ...document.annotations, [name]: value },
  });

  it('opens what was converted', async () => {
    const image = await openImage(source);
    expect(image.blobs.length).toBe(2);
    expect(image.bootstrap.devices.map(({ blob }) => blob)).toEqual(image.blobs.map(({ digest }) => digest));
    await expect(openChanged(() => ({}))).resolves.toMatchObject({ root: image.root });
  });

  it.each<[string, string, (document: Document) => object]>([
    ['is no sluice image', 'SLUICE_MANIFEST_UNSUPPORTED', () => ({ annotations: {} })],
    ['has another format version', 'SLUICE_MANIFEST_UNSUPPORTED', annotated(annotation.format, '1')],
    ['has no Merkle root', 'SLUICE_MANIFEST_UNSUPPORTED', annotated(annotation.root, undefined)],
    ['has a Merkle root that is no digest', 'SLUICE_MANIFEST_INVALID', annotated(annotation.root, 'sha256:zz')],
    ['has another Merkle root', 'SLUICE_MERKLE_MISMATCH', annotated(annotation.root, `sha256:${'0'.repeat(64)}`)],
    ['has no layers', 'SLUICE_MANIFEST_UNSUPPORTED', () => ({ layers: [] })],
    ['lacks a blob', 'SLUICE_BOOTSTRAP_INVALID', ({ layers }) => ({ layers: layers.slice(1) })],
    ['lists a blob twice', 'SLUICE_BOOTSTRAP_INVALID', ({ layers }) => ({ layers: [layers[0], ...layers] })],
    [
      'lists the blobs in another order',
      'SLUICE_BOOTSTRAP_INVALID',
      ({ layers: [a, b, ...rest] }) => ({ layers: [b, a, ...rest] }),
    ],
    [
      'says another size of a blob',
      'SLUICE_BOOTSTRAP_INVALID',
      ({ layers: [first, ...rest] }) => ({ layers: [{ ...first, size: 1 }, ...rest] }),
    ],
    ['names a blob as its bootstrap', 'SLUICE_TAR_INVALID', ({ layers }) => ({ layers: layers.slice(0, -1) })],
  ])('refuses a manifest that %s', async (_, code, change) => {
    await expect(openChanged(change)).rejects.toMatchObject({ code });
  });
});
