import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import { describeBytes, writeManifest } from '../../src/oci/canonical-json.ts';
import { parseConfig } from '../../src/oci/config.ts';
import { checkLayoutFile, parseLayoutIndex, updateLayoutIndex } from '../../src/oci/layout-index.ts';
import { parseIndex, parseManifest, sniffMediaType } from '../../src/oci/manifest.ts';
import { mediaType } from '../../src/oci/media-types.ts';
import { parseReference } from '../../src/oci/reference.ts';
import { fuzz } from '../support/fuzz.ts';
import { smallImage } from '../support/image.ts';

const image = await smallImage('a', { manifest: { annotations: { a: 'b' }, artifactType: 'x/y' } });
const platform = { os: 'linux', architecture: 'arm64', variant: 'v8' };
const index = writeManifest(mediaType.ociIndex, { manifests: [{ ...image.manifest.descriptor, platform }] });

/** What a document should not hold, in most places. */
const odd: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  'x',
  [],
  [null],
  {},
  [[]],
  { toString: 1, length: -1 },
];

/** Every document that differs from `value` in one place, at any depth, where it holds something odd. */
function* changedAnywhere(value: unknown): Generator<unknown> {
  yield* odd;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, element] of Object.entries(value)) {
    for (const changed of changedAnywhere(element)) {
      yield Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed };
    }
  }
}

describe('any bytes give a value or a SluiceError', () => {
  const readers: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => unknown])[] = [
    [
      'parseManifest()',
      image.manifest.bytes,
      (bytes) => parseManifest({ descriptor: describeBytes(mediaType.ociManifest, bytes), bytes }),
    ],
    [
      'parseIndex()',
      index.bytes,
      (bytes) => parseIndex({ descriptor: describeBytes(mediaType.ociIndex, bytes), bytes }),
    ],
    ['parseConfig()', image.config.bytes, parseConfig],
    ['sniffMediaType()', image.manifest.bytes, (bytes) => sniffMediaType(bytes, 'it')],
    ['parseLayoutIndex()', index.bytes, parseLayoutIndex],
    ['updateLayoutIndex()', index.bytes, (bytes) => updateLayoutIndex(bytes, image.manifest.descriptor, 'v1')],
    ['checkLayoutFile()', Buffer.from(`{"imageLayoutVersion":"1.0.0","more":"${'x'.repeat(200)}"}`), checkLayoutFile],
    [
      'parseReference()',
      Buffer.from(`docker://127.0.0.1:5000/a/b:v1@${image.manifest.descriptor.digest}`),
      (bytes) => parseReference(Buffer.from(bytes).toString('latin1')),
    ],
  ];
  it.each(readers.slice(0, -1))('to %s, with anything in any place of the document', (_, sample, read) => {
    let cases = 0;
    for (const document of changedAnywhere(JSON.parse(Buffer.from(sample).toString()))) {
      cases++;
      try {
        read(Buffer.from(JSON.stringify(document)));
      } catch (error) {
        if (!(error instanceof SluiceError)) throw new Error(JSON.stringify(document), { cause: error });
      }
    }
    expect(cases).toBeGreaterThan(odd.length);
  });

  it.each(readers)('to %s, with damaged bytes', (_, sample, read) => {
    const good = fuzz(5_000, sample, (bytes) => {
      read(bytes);
    });
    expect(good).toBeGreaterThan(0);
  });
});
