const pageSize = 4096;
const text = Buffer.from(
  'The quick brown fox jumps over the lazy dog, and the lazy dog does not mind at all. '.repeat(64),
);

/**
 * Makes content that is never the same twice, page by page: text, and random bytes at the page's end, which is where
 * the cutter of chunks looks. The same seed makes the same content.
 */
export class RandomPages {
  #state;
  #tail;

  /** @param randomBytes - of each page, a multiple of 4: what zstd cannot compress */
  constructor(seed, randomBytes) {
    this.#state = seed;
    this.#tail = new Uint32Array(randomBytes / 4);
  }

  /** @returns a new buffer */
  make(length) {
    const content = Buffer.alloc(length);
    for (let start = 0; start < length; start += pageSize) this.#fill(content.subarray(start, start + pageSize));
    return content;
  }

  #fill(page) {
    for (let i = 0; i < this.#tail.length; i++) this.#tail[i] = this.#next();
    const tail = Buffer.from(this.#tail.buffer);
    const split = Math.max(0, page.length - tail.length);
    text.copy(page, 0, 0, split);
    tail.copy(page, split);
  }

  /** Marsaglia's xorshift, 32 bits. */
  #next() {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return this.#state;
  }
}
