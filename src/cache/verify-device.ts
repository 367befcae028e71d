import type { CachedDevice } from './cached-device.ts';

/** What verifying one device found. */
export interface VerifiedDevice {
  /** 64 hex digits. */
  readonly blob: string;
  /** Chunks that are local. */
  readonly chunks: number;
  readonly bytes: number;
  /** Chunks whose bytes were wrong; they are dropped. */
  readonly bad: number;
  /** False: the device's chunk map was not there to verify it with. */
  readonly isKnown: boolean;
}

/** Chunks hashed between two turns of the event loop: some milliseconds. */
const CHUNKS_PER_TURN = 32;

/** Hashes all that is local of a device, and drops what is wrong. */
export async function verifyDevice(device: CachedDevice, signal?: AbortSignal): Promise<VerifiedDevice> {
  const result = { blob: device.blob, chunks: 0, bytes: 0, bad: 0, isKnown: true };
  for (const [i, chunk] of device.present().entries()) {
    if (i % CHUNKS_PER_TURN === 0) {
      signal?.throwIfAborted();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const isGood = device.check(chunk);
    if (isGood === undefined) continue;
    result.chunks++;
    result.bytes += device.chunks.uncompressedLength(chunk);
    result.bad += isGood ? 0 : 1;
  }
  return result;
}
