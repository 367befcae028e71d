import fc from 'fast-check';
import { afterAll, beforeAll, expect } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import { type Random, randomNumbers, seed } from './random.ts';

/** `SLUICE_FUZZ_CASES` multiplies the number of cases; `SLUICE_FUZZ_SEED` repeats a run. */
const factor = Number(process.env.SLUICE_FUZZ_CASES ?? 1);

/** Generous, for a machine that does other things too; what is not bounded takes for ever. */
const maximumCaseMs = 5000;
/** Of the whole process, bytes; far more than any sample, far less than a hostile length can ask for. */
const maximumMemory = 2 ** 30;

let total = 0;
let stackTraceLimit: number;

// Whatever test file imports this: errors without a stack are ten times as fast, and its cases are counted at its end.
beforeAll(() => {
  stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
});
afterAll(() => {
  Error.stackTraceLimit = stackTraceLimit;
  const memory = process.resourceUsage().maxRSS * 1024;
  console.log(`${total} cases of seed ${seed}, at most ${Math.round(memory / 2 ** 20)} MiB`);
  expect(memory, 'memory of the process').toBeLessThan(maximumMemory);
});

/** Values that formats stumble over, as a byte and as a word. */
const oddBytes = [0, 1, 0x7f, 0x80, 0xff];
const oddWords = [0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/**
 * Damages `sample` in many ways (flipped bits, odd bytes and words, pieces copied elsewhere, cut, doubled; one case in
 * eight is random bytes) and reads it.
 * @param read - may throw a SluiceError and nothing else; may change its argument
 * @returns how many cases were read without an error
 */
export function fuzz(cases: number, sample: Uint8Array, read: (bytes: Uint8Array) => void): number {
  let good = 0;
  for (const bytes of damagedCopies(cases, sample)) {
    const input = Uint8Array.from(bytes);
    const start = performance.now();
    try {
      read(bytes);
      good++;
    } catch (error) {
      expectSluiceError(error, input);
    }
    expectSoon(start, input);
  }
  return good;
}

/** {@link fuzz} for what reads in its own time. */
export async function fuzzAsync(
  cases: number,
  sample: Uint8Array,
  read: (bytes: Uint8Array) => Promise<unknown>,
): Promise<number> {
  let good = 0;
  for (const bytes of damagedCopies(cases, sample)) {
    const input = Uint8Array.from(bytes);
    const start = performance.now();
    try {
      await read(bytes);
      good++;
    } catch (error) {
      expectSluiceError(error, input);
    }
    expectSoon(start, input);
  }
  return good;
}

/** {@link fuzz} for text of any kind: damage may leave characters of up to eight bits. */
export function fuzzText(cases: number, sample: string, read: (text: string) => void): number {
  return fuzz(cases, Buffer.from(sample, 'latin1'), (bytes) => read(Buffer.from(bytes).toString('latin1')));
}

/** Checks a property of fast-check's in the cases of this run. */
export function fuzzProperty<Values>(cases: number, property: fc.IProperty<Values>): void {
  total += cases * factor;
  fc.assert(property, { numRuns: cases * factor, seed });
}

/** Every case is expected to give a value or a SluiceError. */
export function allowSluiceErrors(attempt: () => unknown): void {
  try {
    attempt();
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
  }
}

function expectSluiceError(error: unknown, input: Uint8Array): void {
  if (error instanceof SluiceError) return;
  throw new Error(`${String(error)} for ${describeInput(input)}`, { cause: error });
}

function expectSoon(start: number, input: Uint8Array): void {
  const elapsed = performance.now() - start;
  if (elapsed > maximumCaseMs) throw new Error(`${Math.round(elapsed)} ms for ${describeInput(input)}`);
}

function describeInput(input: Uint8Array): string {
  return `a case of seed ${seed}: ${Buffer.from(input).toString('hex').slice(0, 4000)}`;
}

function* damagedCopies(cases: number, sample: Uint8Array): Generator<Uint8Array> {
  const random = randomNumbers(seed);
  for (let i = 0; i < cases * factor; i++) {
    total++;
    yield i % 8 === 0 ? noise(random, sample.length) : damage(random, sample);
  }
}

function noise(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length: random(Math.min(length * 2, 4096) + 1) }, () => random(256));
}

function damage(random: Random, sample: Uint8Array): Uint8Array {
  const bytes = Buffer.from(sample);
  for (let count = random(4); count >= 0; count--) damageOnce(random, bytes);
  if (random(8) === 0) return bytes.subarray(0, random(bytes.length + 1));
  return random(16) === 0 ? Buffer.concat([bytes, bytes.subarray(random(bytes.length))]) : bytes;
}

function damageOnce(random: Random, bytes: Buffer): void {
  const at = random(bytes.length);
  const kind = random(8);
  if (kind < 4) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
  else if (kind < 6 || bytes.length < 4) bytes[at] = oddBytes[random(oddBytes.length)] ?? 0;
  else if (kind === 6) bytes.writeUInt32LE(oddWords[random(oddWords.length)] ?? 0, Math.min(at, bytes.length - 4));
  else bytes.copy(bytes, at, random(bytes.length), random(bytes.length));
}
