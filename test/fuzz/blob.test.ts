import { beforeAll, describe, expect, it } from 'vitest';
import { readEntries } from '../../src/blob/entry-reader.ts';
import { writeEntries } from '../../src/blob/entry-writer.ts';
import { BLOB_TRAILER_SIZE } from '../../src/blob/format.ts';
import { parseBlobMetadata, parseBlobTrailer } from '../../src/blob/reader.ts';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { hash } from '../../src/digest/hash.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { fuzz } from '../support/fuzz.ts';
import { sampleBlob } from '../support/sample-blob.ts';

beforeAll(() => loadZstd());

describe('any bytes give a value or a SluiceError', () => {
  it('readEntries()', () => {
    const { metadata } = sampleBlob();
    fuzz(20_000, writeEntries(metadata.entries, metadata.fileDigests), (bytes) => {
      readEntries(bytes);
    });
  });

  it('parseBlobTrailer()', () => {
    fuzz(20_000, sampleBlob().frame.subarray(-BLOB_TRAILER_SIZE), (bytes) => {
      parseBlobTrailer(bytes);
    });
  });

  it('parseBlobMetadata(), with a digest that is right', () => {
    const { blob, frame } = sampleBlob();
    const parsed = fuzz(5_000, frame, (bytes) => {
      if (bytes.length >= BLOB_TRAILER_SIZE + 8) {
        const end = bytes.length - 32;
        bytes.set(hash('sha256', bytes.subarray(8, end)), end);
      }
      parseBlobMetadata(bytes, blob.length);
    });
    expect(parsed, 'some damage makes no difference to the reader').toBeGreaterThan(0);
  });

  it('ChunkMap.parse()', () => {
    fuzz(20_000, sampleBlob().metadata.chunks.serialise(), (bytes) => {
      ChunkMap.parse(bytes);
    });
  });
});
