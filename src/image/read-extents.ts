import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import type { Extent } from '../erofs/inode.ts';

/** Asked for at once, bytes: enough to keep several fetches going, and what a file of any size costs in memory. */
const windowSize = 4 << 20;

/** Bytes of a file and where they stand in it. */
export interface DataPiece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

interface ChunkPart {
  readonly offset: number;
  readonly device: number;
  readonly chunk: number;
  readonly start: number;
  readonly length: number;
}

/**
 * Streams the data of a file without its holes, every byte verified.
 *
 * @param extents - inside of their devices
 * @returns pieces in order, each of one chunk: views of shared buffers, read only, used before the next step
 * @throws what `chunks` throws
 */
export async function* readExtents(
  bootstrap: Bootstrap,
  chunks: ChunkStore,
  extents: readonly Extent[],
  signal?: AbortSignal,
): AsyncGenerator<DataPiece> {
  const open: { part: ChunkPart; read: Promise<Uint8Array> }[] = [];
  let openBytes = 0;
  const parts = chunkParts(bootstrap, extents);
  for (let next = parts.next(); next.done !== true || open.length > 0; ) {
    if (next.done !== true && openBytes < windowSize) {
      const part = next.value;
      const read = chunks.read(part.device, part.chunk, signal);
      // A failure of a later read must not count as unhandled while an earlier one is awaited.
      read.catch(() => undefined);
      open.push({ part, read });
      openBytes += part.length;
      next = parts.next();
      continue;
    }
    const first = open.shift();
    if (first === undefined) return;
    const { offset, start, length } = first.part;
    openBytes -= length;
    yield { offset, bytes: (await first.read).subarray(start, start + length) };
  }
}

function* chunkParts(bootstrap: Bootstrap, extents: readonly Extent[]): Generator<ChunkPart, undefined> {
  for (const { device, deviceOffset, offset, length } of extents) {
    const map = bootstrap.devices[device]?.chunks;
    if (map === undefined) throw new RangeError(`Cannot read device ${device}: there are ${bootstrap.devices.length}`);
    let chunk = map.find(deviceOffset);
    for (let done = 0; done < length; chunk++) {
      const start = deviceOffset + done - map.uncompressedOffset(chunk);
      const count = Math.min(length - done, map.uncompressedLength(chunk) - start);
      yield { offset: offset + done, device, chunk, start, length: count };
      done += count;
    }
  }
}
