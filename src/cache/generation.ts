/**
 * The word of one chunk in a state file: a generation that only grows. Odd is present, even is absent, so a file of
 * zeros is an empty cache. ADR-0003 says why this is all the coherence that readers need.
 */
export function isPresent(generation: number): boolean {
  return (generation & 1) === 1;
}

/** Present becomes absent, absent becomes present. Wraps at 32 bits, onto an even number. */
export function nextGeneration(generation: number): number {
  return (generation + 1) >>> 0;
}

/** Bytes of a word in the state file. Host byte order: a cache never leaves its machine. */
export const GENERATION_SIZE = Uint32Array.BYTES_PER_ELEMENT;
