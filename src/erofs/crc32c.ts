const polynomial = 0x82f6_3b78; // Castagnoli's, bit-reversed

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
  return crc;
});

/**
 * The kernel's crc32c(): no inversion at the end, and the seed as given (EROFS seeds with all ones).
 *
 * @param bytes - not kept
 * @returns an unsigned 32-bit number
 */
export function crc32c(seed: number, bytes: Uint8Array): number {
  let crc = seed;
  for (const byte of bytes) crc = (crc >>> 8) ^ (table[(crc ^ byte) & 0xff] ?? 0);
  return crc >>> 0;
}
