import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FormatError } from '../errors.ts';
import { decompressStream } from '../zstd/stream.ts';

const outputChunk = 256 * 1024;

type Bytes = AsyncIterable<Uint8Array>;

/**
 * The tar inside a layer: gzip, zstd or plain, told by its first bytes as every container engine does (media types of
 * real images lie).
 * @throws {FormatError} SLUICE_GZIP_INVALID, SLUICE_ZSTD_INVALID
 */
export async function* decompressLayer(compressed: Bytes): AsyncGenerator<Uint8Array> {
  const iterator = compressed[Symbol.asyncIterator]();
  const head = await readHead(iterator);
  const all = prepend(head, iterator);
  try {
    if (head[0] === 0x1f && head[1] === 0x8b) yield* gunzip(all);
    else if (isZstd(head)) yield* decompressStream(all);
    else yield* all;
  } finally {
    await iterator.return?.();
  }
}

/** Zstandard frames and skippable frames. Source: RFC 8878, section 3.1. */
function isZstd(head: Uint8Array): boolean {
  const magic = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  if (magic.length < 4) return false;
  const value = magic.readUInt32LE(0);
  return value === 0xfd2fb528 || (value & 0xfffffff0) >>> 0 === 0x184d2a50;
}

async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head = new Uint8Array(0);
  while (head.length < 4) {
    const next = await iterator.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  return head;
}

async function* prepend(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

async function* gunzip(compressed: Bytes): AsyncGenerator<Uint8Array> {
  const input = Readable.from(compressed, { objectMode: true, highWaterMark: 4 });
  const output = createGunzip({ chunkSize: outputChunk });
  // An error of the source has to reach the reader as it is, not as a broken gzip stream.
  let sourceError: unknown;
  input.once('error', (error) => {
    sourceError = error;
    output.destroy();
  });
  try {
    yield* input.pipe(output) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (sourceError !== undefined) throw sourceError;
    throw new FormatError('SLUICE_GZIP_INVALID', 'Cannot decompress layer: the gzip stream is broken', { cause });
  } finally {
    input.destroy();
    output.destroy();
  }
}
