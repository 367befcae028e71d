import {
  blockHeaderLength,
  checksumLength,
  invalid,
  maximumHeaderLength,
  readBlockHeader,
  readFrameHeader,
} from './frame.ts';

/**
 * Follows a stream of frames from header to header, whatever the borders of the chunks it comes in, and hands the data
 * frames on in pieces that unfold to 128 KiB at most: a decoder that takes them one by one needs no more memory than
 * that and its window, also when a chunk of 64 KiB unfolds to 2 GiB. It knows where frames end, which libzstd's
 * streaming does not tell through zstd-codec.
 */
export class FrameScanner {
  /** The header being collected. */
  readonly #header = new Uint8Array(maximumHeaderLength);
  #filled = 0;
  #expects: 'frame' | 'block' = 'frame';
  /** Bytes still to come behind the header: a block's content, the checksum, or what a skippable frame holds. */
  #remaining = 0;
  #skipping = false;
  #hasChecksum = false;
  #frames = 0;

  /** Whether everything so far is whole frames. */
  get betweenFrames(): boolean {
    return this.#expects === 'frame' && this.#filled === 0 && this.#remaining === 0;
  }

  /**
   * @param chunk - of any length
   * @returns pieces of data frames: views of `chunk`, or copies of a header; at most one block in each
   * @throws {FormatError} SLUICE_ZSTD_INVALID
   */
  *push(chunk: Uint8Array): Generator<Uint8Array> {
    for (let offset = 0; offset < chunk.length; ) {
      if (this.#remaining > 0) {
        const piece = chunk.subarray(offset, offset + this.#remaining);
        offset += piece.length;
        this.#remaining -= piece.length;
        if (!this.#skipping) yield piece;
      } else {
        this.#header[this.#filled] = chunk[offset] ?? 0;
        this.#filled++;
        offset++;
        const header = this.#expects === 'frame' ? this.#frameHeader() : this.#blockHeader();
        if (header !== undefined) yield header;
      }
    }
  }

  /** @throws {FormatError} SLUICE_ZSTD_INVALID when the stream stops inside a frame, or held none */
  end(): void {
    if (!this.betweenFrames) throw invalid('it ends in the middle of a frame');
    if (this.#frames === 0) throw invalid('it is empty');
  }

  #frameHeader(): Uint8Array | undefined {
    const frame = readFrameHeader(this.#header.subarray(0, this.#filled));
    if (frame === undefined) return undefined;
    this.#frames++;
    this.#skipping = frame.kind === 'skippable';
    if (frame.kind === 'skippable') {
      this.#remaining = frame.payloadLength;
      this.#filled = 0;
      return undefined;
    }
    this.#hasChecksum = frame.hasChecksum;
    this.#expects = 'block';
    return this.#takeHeader();
  }

  #blockHeader(): Uint8Array | undefined {
    if (this.#filled < blockHeaderLength) return undefined;
    const block = readBlockHeader(this.#header, 0);
    this.#remaining = block.storedLength;
    if (block.last) {
      this.#expects = 'frame';
      if (this.#hasChecksum) this.#remaining += checksumLength;
    }
    return this.#takeHeader();
  }

  #takeHeader(): Uint8Array {
    const header = this.#header.slice(0, this.#filled);
    this.#filled = 0;
    return header;
  }
}
