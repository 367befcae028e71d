import { execFileSync } from 'node:child_process';
import { beforeAll, describe, expect, it } from 'vitest';
import { BLOB_TRAILER_SIZE, blobTrailer } from '../../src/blob/format.ts';
import { parseBlobMetadata, parseBlobTrailer } from '../../src/blob/reader.ts';
import { writeBlobMetadata } from '../../src/blob/writer.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { decompress, loadZstd } from '../../src/zstd/codec.ts';
import { sha256Hex } from '../support/content.ts';
import { sampleBlob, sampleDevice } from '../support/sample-blob.ts';
import { has } from '../support/tools.ts';

beforeAll(() => loadZstd());

describe('writeBlobMetadata()', () => {
  it('gives the same blob on every machine', () => {
    expect(sha256Hex(sampleBlob().blob)).toBe('4cb7836559d6d1ac1c41c7a2dcc977f7189a853bb3adac0e9b30d778d5276fc3');
  });

  it.skipIf(!has('zstd'))('leaves a blob that zstd -dc unfolds to the device image', () => {
    const { blob, frame } = sampleBlob();
    const zstd = (input: Uint8Array): Buffer => execFileSync('zstd', ['-dcq'], { input });
    expect(zstd(blob).equals(sampleDevice)).toBe(true);
    expect(zstd(frame).length, 'a layer that stores nothing').toBe(0);
  });
});

describe('parseBlobMetadata()', () => {
  it('gives back what writeBlobMetadata() was given', () => {
    const { blob, metadata, frame } = sampleBlob();
    const { metadataLength } = parseBlobTrailer(blob.subarray(-BLOB_TRAILER_SIZE));
    expect(metadataLength).toBe(frame.length);
    const { chunks, ...parsed } = parseBlobMetadata(blob.subarray(-metadataLength), blob.length);
    const { chunks: expectedChunks, ...expected } = metadata;
    expect(parsed).toEqual(expected);
    expect(Buffer.from(chunks.serialise())).toEqual(Buffer.from(expectedChunks.serialise()));
  });

  it('finds each chunk as a frame of its own', () => {
    const { blob, metadata } = sampleBlob();
    const { chunks } = metadata;
    for (let i = 0; i < chunks.count; i++) {
      const start = chunks.compressedOffset(i);
      const frame = blob.subarray(start, start + chunks.compressedLength(i));
      const expected = sampleDevice.subarray(chunks.uncompressedOffset(i)).subarray(0, chunks.uncompressedLength(i));
      expect(Buffer.compare(decompress(frame, chunks.uncompressedLength(i)), expected)).toBe(0);
    }
  });

  it('reads a layer that is empty', () => {
    const empty = {
      ...sampleBlob().metadata,
      entries: [],
      fileDigests: new Map(),
      chunks: ChunkMap.fromChunks([]),
      chain: [],
    };
    const frame = writeBlobMetadata(empty);
    expect(parseBlobMetadata(frame, frame.length)).toMatchObject({ entries: [], chain: [], chunks: { count: 0 } });
  });

  it('refuses a frame that is damaged, wherever it is', () => {
    const { blob, frame } = sampleBlob();
    for (let i = 8; i < frame.length; i++) {
      const damaged = Buffer.from(frame);
      damaged[i] = (damaged[i] ?? 0) ^ 0x10;
      expect(() => parseBlobMetadata(damaged, blob.length), `byte ${i}`).toThrow(/^Cannot read layer blob/);
    }
  });

  it.each([
    ['another size than its chunks and metadata add up to', 'SLUICE_BLOB_INVALID', 1],
    ['fewer bytes than its chunks', 'SLUICE_BLOB_INVALID', -4096],
  ])('refuses a blob of %s', (_, code, change) => {
    const { blob, frame } = sampleBlob();
    expect(() => parseBlobMetadata(frame, blob.length + change)).toThrow(expect.objectContaining({ code }));
  });

  it.each([
    ['in a device that is not below it', { offset: 0, length: 1, device: 2, deviceOffset: 0 }],
    ['behind the end of its own', { offset: 0, length: 4097, device: 1, deviceOffset: 237_568 }],
  ])('refuses an extent %s', (_, extent) => {
    const { metadata } = sampleBlob();
    const [file] = metadata.entries.flatMap((entry) => (entry.kind === 'file' ? [entry] : []));
    const frame = writeBlobMetadata({ ...metadata, entries: [{ ...file!, extents: [extent] }] });
    const blobSize = metadata.chunks.compressedSize + frame.length;
    expect(() => parseBlobMetadata(frame, blobSize)).toThrow(/lies outside of it/);
  });
});

describe('parseBlobTrailer()', () => {
  const trailer = (): Buffer => Buffer.from(sampleBlob().frame.subarray(-BLOB_TRAILER_SIZE));

  it.each([
    ['no trailer', () => Buffer.alloc(10), /10 bytes are too few/],
    ['zeros', () => Buffer.alloc(BLOB_TRAILER_SIZE), /no magic number/],
    ['a newer version', () => patch(blobTrailer.version, 3), /format version 3, want 2/],
    [
      'an unknown feature',
      () => patch(blobTrailer.incompatFeatures, 0x200),
      /unknown incompat feature 0x200 at offset 12/,
    ],
    ['an unknown algorithm', () => patch(blobTrailer.digestAlgorithm, 9), /unknown digest algorithm/],
    ['a section that unfolds to 4 GiB', () => patch(blobTrailer.entriesSize, 2 ** 32 - 1), /section "entries"/],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => parseBlobTrailer(bytes())).toThrow(message);
  });

  function patch(field: number, value: number): Buffer {
    const bytes = trailer();
    bytes.writeUInt32LE(value, field);
    return bytes;
  }
});
