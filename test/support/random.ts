import { createHash } from 'node:crypto';

/** Of everything random in the tests that fast-check does not make; `SLUICE_FUZZ_SEED` repeats a run. */
export const seed = Number(process.env.SLUICE_FUZZ_SEED ?? 1);

/** Numbers below `below`, a whole number up to 2^32. */
export type Random = (below: number) => number;

/** xorshift32: small, and the same on every machine. */
export function randomNumbers(start: number | string): Random {
  let state = createHash('sha256').update(`fuzz ${start}`).digest().readUInt32LE() | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
