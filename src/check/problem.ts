import { type ErrorCode, SluiceError } from '../errors.ts';
import type { Digest } from '../oci/digest.ts';

/** One thing that is wrong with an image. Offsets are bytes. */
export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly blob?: Digest;
  /** Index in the blob's chunk map. */
  readonly chunk?: number;
  /** Where the chunk's frame begins in the blob. */
  readonly compressedOffset?: number;
  /** Where the chunk begins in the device image. */
  readonly uncompressedOffset?: number;
  /** Files the problem touches, for people; the first {@link maximumPaths} of `pathCount`. */
  readonly paths?: readonly string[];
  readonly pathCount?: number;
  /** Of a difference: what differs, and both sides. */
  readonly what?: string;
  readonly expected?: string;
  readonly actual?: string;
}

/** A damaged image may have millions of problems: so many are kept, and all are counted. */
const maximumListed = 1000;
/** A chunk of a hostile image may be part of millions of files. */
export const maximumPaths = 20;

/** Collects what is found. */
export class Problems {
  readonly #listed: Problem[] = [];
  #count = 0;

  /** All of them, also those that are not listed. */
  get count(): number {
    return this.#count;
  }

  get listed(): readonly Problem[] {
    return this.#listed;
  }

  /** @param count - of problems this stands for */
  add(problem: Problem, count = 1): void {
    this.#count += count;
    if (this.#listed.length < maximumListed) this.#listed.push(problem);
  }

  /**
   * Adds an error that says something about the image.
   * @throws the error itself when it says something else: no network, a format of another version, a bug
   */
  addError(error: unknown, about: Pick<Problem, 'blob' | 'paths'> = {}): void {
    if (!isVerdict(error)) throw error;
    const chain = [error.message];
    for (let cause = error.cause; cause instanceof Error && chain.length < 8; cause = cause.cause) {
      chain.push(cause.message);
    }
    this.add({ code: error.code, message: chain.join(': '), ...about });
  }
}

const noVerdict: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'SLUICE_MANIFEST_UNSUPPORTED',
  'SLUICE_BOOTSTRAP_UNSUPPORTED',
]);

function isVerdict(error: unknown): error is SluiceError {
  if (!(error instanceof SluiceError) || noVerdict.has(error.code)) return false;
  return error.name === 'FormatError' || error.name === 'IntegrityError' || error.code === 'SLUICE_BLOB_NOT_FOUND';
}
