import { createHash } from 'node:crypto';
import { ChunkMap } from '../../src/chunk/chunk-map.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import type { BlobPlace, ByteRange, Descriptor } from '../../src/oci/image.ts';
import { compress } from '../../src/zstd/codec.ts';

export const CHUNK_LENGTH = 32 * 1024;

/** Incompressible, so that a chunk's frame is about as long as the chunk; the same in every run. */
export function chunkContent(chunk: number): Uint8Array {
  const words = new Uint32Array(CHUNK_LENGTH / 4);
  let state = Math.imul(chunk + 1, 2654435761) | 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer);
}

export interface SampleBlob {
  readonly bytes: Uint8Array;
  readonly chunks: ChunkMap;
  readonly descriptor: Descriptor;
}

/** Call after `loadZstd()`. */
export function sampleBlob(count: number): SampleBlob {
  const contents = Array.from({ length: count }, (_, chunk) => chunkContent(chunk));
  const frames = contents.map((content) => compress(content, 1));
  const chunks = ChunkMap.fromChunks(
    contents.map((content, i) => ({
      length: content.length,
      compressedLength: frames[i]!.length,
      digest: createHash('sha256').update(content).digest(),
    })),
  );
  // Not a Buffer, whose slice() is a view: faults change their copy only.
  const bytes = new Uint8Array(Buffer.concat([...frames, Buffer.from('metadata frame')]));
  const digest = digestFromBytes(createHash('sha256').update(bytes).digest());
  return { bytes, chunks, descriptor: { mediaType: 'application/octet-stream', digest, size: bytes.length } };
}

/** One request a {@link MemoryBlobSource} got. */
export interface Request extends ByteRange {
  readonly digest: string;
  /** Its iteration was ended, by its end or by the reader. */
  done: boolean;
  aborted: boolean;
}

/** What may happen to one answer: its bytes changed, cut short, or an error in place of it. */
export type Fault = (bytes: Uint8Array) => Uint8Array;

/** Blobs in memory, with a network's ways to fail. Every answer comes in pieces of `pieceSize`. */
export class MemoryBlobSource implements BlobPlace {
  readonly name: string;
  readonly requests: Request[] = [];
  /** Consumed one a request, from the front. */
  readonly faults: (Fault | undefined)[] = [];
  readonly #blobs: readonly SampleBlob[];
  readonly #pieceSize: number;
  #held: (() => void)[] | undefined;
  /** Called before each piece but the first. */
  onPiece: (() => Promise<void>) | undefined;

  constructor(blobs: readonly SampleBlob[], pieceSize = 10_000, name = 'memory:a') {
    this.name = name;
    this.#blobs = blobs;
    this.#pieceSize = pieceSize;
  }

  /** From now on requests get no answer before {@link release}. */
  hold(): void {
    this.#held = [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const go of held) go();
  }

  async *readBlob(descriptor: Descriptor, range?: ByteRange, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const blob = this.#blobs.find((candidate) => candidate.descriptor.digest === descriptor.digest)!;
    const { start, end } = range ?? { start: 0, end: blob.bytes.length };
    const request = { digest: descriptor.digest, start, end, done: false, aborted: false };
    this.requests.push(request);
    const fault = this.faults.shift();
    try {
      await this.#gate(signal);
      const bytes = blob.bytes.slice(start, end);
      const answer = fault === undefined ? bytes : fault(bytes);
      for (let offset = 0; offset < answer.length; offset += this.#pieceSize) {
        if (offset > 0) await this.onPiece?.();
        signal?.throwIfAborted();
        yield answer.subarray(offset, offset + this.#pieceSize);
      }
    } finally {
      request.done = true;
      request.aborted = signal?.aborted ?? false;
    }
  }

  #gate(signal: AbortSignal | undefined): Promise<void> {
    const held = this.#held;
    if (held === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      held.push(resolve);
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }
}
