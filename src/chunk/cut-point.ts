import { gearHash } from './gear.ts';
import { type CutParameters, PAGE_SIZE } from './parameters.ts';

/**
 * Where to cut. Every page border is a candidate; the hash of the bytes before it decides. FastCDC's normalisation:
 * a cut is a quarter as likely as `average` asks for while the chunk is shorter than that, four times as likely after.
 * So lengths gather around the average, and few chunks are cut by force at the maximum (which content cannot move).
 * Source: Xia et al., FastCDC (USENIX ATC 2016), section 3.4, with thresholds in place of masks.
 */
export class CutPoint {
  readonly #parameters: CutParameters;
  readonly #unlikely: number;
  readonly #likely: number;

  /** @param parameters - validated */
  constructor(parameters: CutParameters) {
    const perPage = (2 ** 32 * PAGE_SIZE) / parameters.average;
    this.#parameters = parameters;
    this.#unlikely = Math.floor(perPage / 4);
    this.#likely = Math.floor(perPage * 4);
  }

  /**
   * The length of the next chunk of a large file. The cut leaves at least `minimum` bytes or none, so that no chunk is
   * short.
   *
   * @param bytes - the file from the end of the last chunk on: `remaining` bytes, or at least `maximum` of them
   * @param remaining - padded bytes up to the end of the file
   * @returns bytes, a multiple of the page size
   */
  inFile(bytes: Uint8Array, remaining: number): number {
    const { minimum, average, maximum } = this.#parameters;
    const last = Math.min(maximum, remaining - minimum);
    for (let length = minimum; length <= last; length += PAGE_SIZE) {
      const hash = gearHash(bytes, length);
      if (hash < (length < average ? this.#unlikely : this.#likely)) return length;
    }
    return remaining <= maximum ? remaining : last;
  }

  /**
   * Whether a run of packed small files ends behind its last file. A border weighs as much as the pages of that file,
   * so that the number of borders does not matter.
   *
   * @param content - the last file, without padding
   * @param length - padded bytes of the run, the last file included
   */
  afterFile(content: Uint8Array, length: number): boolean {
    const { minimum, average } = this.#parameters;
    if (length < minimum) return false;
    const threshold = length < average ? this.#unlikely : this.#likely;
    return gearHash(content, content.length) < threshold * Math.ceil(content.length / PAGE_SIZE);
  }
}
