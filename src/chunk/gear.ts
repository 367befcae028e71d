import { hash } from '../digest/hash.ts';

/** Bytes that the hash sees: each step shifts by one bit, so of 32 bits nothing older than 32 bytes is left. */
const GEAR_WINDOW = 32;

/**
 * The 256 random words of the gear hash. Normative (docs/format.md, "The gear table"): the SHA-256 digests of the ASCII
 * texts `sluice gear table 0` … `sluice gear table 31`, concatenated and read as little-endian 32-bit words.
 */
export const gearTable: Uint32Array = makeGearTable();

function makeGearTable(): Uint32Array {
  const bytes = Buffer.concat(
    Array.from({ length: 32 }, (_, i) => hash('sha256', Buffer.from(`sluice gear table ${i}`))),
  );
  return Uint32Array.from({ length: 256 }, (_, i) => bytes.readUInt32LE(i * 4));
}

/**
 * The gear hash of the bytes just before `end`: {@link GEAR_WINDOW} of them, or as many as there are.
 * Its high bits depend on the whole window, so compare it with thresholds rather than mask its low bits.
 * Source: Xia et al., Ddelta (2014); one step is `hash = (hash << 1) + gear[byte]` modulo 2^32.
 *
 * @returns an unsigned 32-bit number
 */
export function gearHash(bytes: Uint8Array, end: number): number {
  let hash32 = 0;
  for (let i = Math.max(0, end - GEAR_WINDOW); i < end; i++) {
    hash32 = ((hash32 << 1) + (gearTable[bytes[i] ?? 0] ?? 0)) | 0;
  }
  return hash32 >>> 0;
}
