import { UsageError } from '../errors.ts';

/** EROFS maps blocks of this size, so every chunk is a whole number of them, in bytes. */
export const PAGE_SIZE = 4096;

/**
 * Largest chunk there may be, in bytes. A chunk is decoded in one piece, so this is what a hostile chunk map can make
 * a reader allocate for one read.
 */
export const MAX_CHUNK_LENGTH = 16 * 1024 * 1024;

/** How a device image is cut, in bytes: all three are multiples of {@link PAGE_SIZE}. */
export interface CutParameters {
  /** No chunk of a large file is shorter. */
  readonly minimum: number;
  /** Where a cut becomes more likely; the mean length lies near it. Files of at least this size are cut alone. */
  readonly average: number;
  /** No chunk is longer. At least twice `minimum`, so that a rest can always be divided. */
  readonly maximum: number;
}

export const defaultCutParameters: CutParameters = { minimum: 32 * 1024, average: 128 * 1024, maximum: 1024 * 1024 };

/** `size` rounded up to whole pages. Exact up to 2^53. */
export function paddedSize(size: number): number {
  return Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
}

/**
 * @throws {UsageError} SLUICE_OPTION_INVALID when the three do not make sense together; the message says what would
 */
export function validateCutParameters(parameters: CutParameters): void {
  const { minimum, average, maximum } = parameters;
  const whole = [minimum, average, maximum].every((value) => Number.isInteger(value / PAGE_SIZE) && value > 0);
  const ordered = minimum <= average && average <= maximum && minimum * 2 <= maximum && maximum <= MAX_CHUNK_LENGTH;
  if (whole && ordered) return;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot cut into chunks of "${minimum},${average},${maximum}" bytes: want multiples of ${PAGE_SIZE} with ` +
      `minimum <= average <= maximum, maximum at least twice minimum and at most ${MAX_CHUNK_LENGTH}`,
    { facts: { minimum, average, maximum } },
  );
}
