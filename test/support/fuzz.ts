import { createHash } from 'node:crypto';
import { SluiceError } from '../../src/errors.ts';

/** `SLUICE_FUZZ_SEED` repeats a run, `SLUICE_FUZZ_CASES` multiplies the number of cases. */
const seed = Number(process.env.SLUICE_FUZZ_SEED ?? 1);
const factor = Number(process.env.SLUICE_FUZZ_CASES ?? 1);

/** xorshift32: small, and the same on every machine. */
function randomNumbers(start: number): (below: number) => number {
  let state = createHash('sha256').update(`fuzz ${start}`).digest().readUInt32LE() | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Values that formats stumble over. */
const interesting = [0, 1, 0x7f, 0x80, 0xff];

/**
 * Damages `sample` in many ways (flipped bits, odd bytes, cut, doubled; one case in eight is random bytes) and reads it.
 * @param read - may throw a SluiceError and nothing else; may change its argument
 * @returns how many cases were read without an error
 */
export function fuzz(cases: number, sample: Uint8Array, read: (bytes: Uint8Array) => void): number {
  const random = randomNumbers(seed);
  let good = 0;
  for (let i = 0; i < cases * factor; i++) {
    const bytes = i % 8 === 0 ? noise(random, sample.length) : damage(random, sample);
    const copy = Buffer.from(bytes);
    try {
      read(bytes);
      good++;
    } catch (error) {
      if (error instanceof SluiceError) continue;
      throw new Error(`case ${i} of seed ${seed}, ${copy.toString('hex').slice(0, 2000)}`, { cause: error });
    }
  }
  return good;
}

function noise(random: (below: number) => number, length: number): Uint8Array {
  return Uint8Array.from({ length: random(length * 2) }, () => random(256));
}

function damage(random: (below: number) => number, sample: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(sample);
  for (let count = random(4); count >= 0; count--) {
    const at = random(bytes.length);
    if (random(2) === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    else bytes[at] = interesting[random(interesting.length)] ?? 0;
  }
  if (random(8) === 0) return bytes.slice(0, random(bytes.length));
  return random(16) === 0 ? Buffer.concat([bytes, bytes.subarray(random(bytes.length))]) : bytes;
}
