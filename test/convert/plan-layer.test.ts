import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ByteString, byteString } from '../../src/byte-string.ts';
import { compressChunks } from '../../src/convert/compress-chunks.ts';
import { type CutRequest, cutLayer } from '../../src/convert/cut-layer.ts';
import { KnownContent } from '../../src/convert/known-content.ts';
import { allContent } from '../../src/convert/place.ts';
import { chunkMapOf, planLayer } from '../../src/convert/plan-layer.ts';
import { unpackLayer } from '../../src/convert/unpack-layer.ts';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import { decompress, loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { type Member, tarEntry, writeTar } from '../tar/archives.ts';

beforeAll(() => loadZstd());

/** A file as a test gives it: runs of data, each at an offset; whole when there is one run and no hole. */
interface TestFile {
  readonly name: string;
  readonly size: number;
  readonly sparse: boolean;
  readonly runs: readonly { readonly offset: number; readonly seed: number; readonly length: number }[];
}

const sizes = fc.constantFrom(1, 4095, 4096, 4097, 32_767, 32_768, 32_769, 131_072, 131_073, 1_048_576, 1_048_577);
const wholeFile = fc
  .record({ name: fc.nat(20), seed: fc.nat(6), length: fc.oneof(sizes, fc.nat(70_000)) })
  .map(({ name, seed, length }): TestFile => {
    const runs = length === 0 ? [] : [{ offset: 0, seed, length }];
    return { name: `f${name}`, size: length, sparse: false, runs };
  });
const sparseFile = fc
  .record({
    name: fc.nat(20),
    runs: fc.array(fc.tuple(fc.nat(20_000), fc.integer({ min: 1, max: 9000 }), fc.nat(6)), { maxLength: 4 }),
    tail: fc.nat(5000),
  })
  .map(({ name, runs, tail }): TestFile => {
    let end = 0;
    const placed = runs.map(([gap, length, seed]) => {
      const offset = end + gap;
      end = offset + length;
      return { offset, seed, length };
    });
    return { name: `f${name}`, size: end + tail, sparse: true, runs: placed };
  });
const layer = fc.array(fc.oneof(wholeFile, sparseFile), { maxLength: 8 });

function contentOf(file: TestFile): Buffer {
  const bytes = Buffer.alloc(file.size);
  for (const { offset, seed, length } of file.runs) bytes.set(content(seed, length), offset);
  return bytes;
}

function memberOf(file: TestFile): Member {
  const sparse = file.sparse ? file.runs.map(({ offset, length }) => ({ offset, length })) : undefined;
  return {
    entry: tarEntry(file.name, 'file', { size: file.size, sparse }),
    content: Buffer.concat(file.runs.map(({ seed, length }) => content(seed, length))),
  };
}

/** Unpacks, plans and compresses layers as a conversion does, on this thread, and reads every file back. */
async function convertInMemory(layers: readonly (readonly TestFile[])[], directory: string): Promise<number> {
  const known = new KnownContent();
  const devices: Buffer[] = [];
  let repeatedBytes = 0;
  for (const [index, files] of layers.entries()) {
    const tar = writeTar(files.map(memberOf));
    const [file, spool] = [path.join(directory, `${index}.tar`), path.join(directory, `${index}.spool`)];
    await writeFile(file, tar);
    const { digest, size } = describeBytes('', tar);
    const blob = { path: file, offset: 0, length: size };
    const unpacked = await unpackLayer({ kind: 'unpack', blob, digest, size, diffId: digest, spool });
    const cut = async (runs: CutRequest['runs']) => cutLayer({ kind: 'cut', spool, runs, algorithm: 'sha256' });
    const plan = await planLayer(unpacked, index, known, allContent, cut);
    const compressed = compressChunks({
      kind: 'compress',
      spool,
      level: 1,
      chunkLengths: Uint32Array.from(plan.chunks, (chunk) => chunk.length),
      pieces: Float64Array.from(plan.chunks.flatMap((chunk) => chunk.pieces)),
    });
    devices.push(deviceImage(compressed.frames, compressed.frameLengths, plan.chunks));
    expect(Buffer.from(compressed.raw).equals(devices[index]!)).toBe(true);
    known.add(index, {
      ...plan,
      ...unpacked,
      entries: plan.entries,
      chunks: chunkMapOf(plan, [...compressed.frameLengths]),
    });
    repeatedBytes += plan.repeatedBytes;
    for (const [i, entry] of plan.entries.entries()) {
      if (entry.kind !== 'file') continue;
      const read = Buffer.alloc(entry.size);
      for (const { device, deviceOffset, offset, length } of entry.extents) {
        devices[device]!.copy(read, offset, deviceOffset, deviceOffset + length);
      }
      expect(read.equals(contentOf(files[i]!)), `layer ${index}, entry ${i}`).toBe(true);
    }
  }
  return repeatedBytes;
}

function deviceImage(frames: Uint8Array, lengths: Uint32Array, chunks: readonly { length: number }[]): Buffer {
  let at = 0;
  const parts = Array.from(lengths, (length, i) => {
    at += length;
    return decompress(frames.subarray(at - length, at), chunks[i]?.length ?? 0);
  });
  return Buffer.concat(parts);
}

describe('unpackLayer(), planLayer(), compressChunks()', () => {
  it('place every byte of every file, whatever its holes, and whatever the layers below hold', () =>
    withTemporaryDirectory(async (directory) => {
      let repeated = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), async (layers) => {
          repeated += await convertInMemory(layers, directory);
        }),
        { numRuns: 60 },
      );
      expect(repeated).toBeGreaterThan(0);
    }));

  const run = (offset: number, length: number, seed = 0) => ({ offset, length, seed });
  it.each<[string, readonly (readonly TestFile[])[]]>([
    ['an empty layer', [[]]],
    ['an empty file', [[{ name: 'a', size: 0, sparse: false, runs: [] }]]],
    ['nothing but a hole', [[{ name: 'a', size: 10_000, sparse: true, runs: [] }]]],
    ['a run that starts and ends within one page', [[{ name: 'a', size: 9000, sparse: true, runs: [run(5000, 10)] }]]],
    ['two runs in one page', [[{ name: 'a', size: 9000, sparse: true, runs: [run(1, 2), run(4000, 200)] }]]],
    ['a run up to the last byte', [[{ name: 'a', size: 8193, sparse: true, runs: [run(8192, 1)] }]]],
    [
      'a sparse file without holes',
      [[{ name: 'a', size: 5000, sparse: true, runs: [run(0, 3000), run(3000, 2000, 1)] }]],
    ],
    ['one name twice', [[0, 1].map((seed) => ({ name: 'a', size: 5000, sparse: false, runs: [run(0, 5000, seed)] }))]],
  ])('place the bytes of %s', (_, layers) =>
    withTemporaryDirectory(async (directory) => {
      await convertInMemory(layers, directory);
    }),
  );

  it('store a file that a lower layer holds, or this one, no second time', () =>
    withTemporaryDirectory(async (directory) => {
      const file = (name: string): TestFile => ({ name, size: 300_000, sparse: false, runs: [run(0, 300_000)] });
      expect(await convertInMemory([[file('a'), file('b')], [file('c')]], directory)).toBe(600_000);
    }));
});

describe('planLayer()', () => {
  it('stores what keep() takes and nothing else', () =>
    withTemporaryDirectory(async (directory) => {
      const spool = path.join(directory, 'spool');
      await writeFile(spool, content('spool', 16_384));
      const entry = (name: string, deviceOffset: number) => ({
        ...tarEntry('', 'file'),
        kind: 'file' as const,
        path: byteString(Buffer.from(name)) as ByteString,
        mode: 0o100644,
        size: 8192,
        extents: [{ offset: 0, length: 8192, device: 0, deviceOffset }],
      });
      const entries = [entry('a', 0), entry('b', 8192)];
      const unpacked = { entries, fileDigests: new Map(), tarSize: 0, spoolSize: 16_384 };
      const cut = async (runs: CutRequest['runs']) => cutLayer({ kind: 'cut', spool, runs, algorithm: 'sha256' });
      const keep = (extents: unknown): boolean => extents === entries[1]!.extents;
      const plan = await planLayer(unpacked, 0, new KnownContent(), { ...allContent, keep }, cut);
      expect(plan.chunks.map(({ pieces }) => pieces)).toEqual([[8192, 8192]]);
      expect(plan.entries).toMatchObject([
        { extents: [] },
        { extents: [{ offset: 0, length: 8192, deviceOffset: 0 }] },
      ]);
    }));
});
