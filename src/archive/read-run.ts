import { createReadStream } from 'node:fs';
import type { LocalBlob } from '../oci/image.ts';

/** Large enough that a 1 GB layer costs a thousand reads. */
const readBytes = 1024 * 1024;

/** Streams a run of a file, which is not empty; the chunks belong to the caller. */
export function readRun(run: LocalBlob, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  return createReadStream(run.path, {
    start: run.offset,
    end: run.offset + run.length - 1,
    highWaterMark: readBytes,
    ...(signal ? { signal } : {}),
  });
}
