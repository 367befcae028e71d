import { RegistryError } from '../errors.ts';
import type { BlobSource, Descriptor } from '../oci/image.ts';

/**
 * A blob that is being received, from the front. The request goes out when it is made, not when its first byte is
 * wanted. Unverified.
 */
export class ArrivingBlob {
  /** Bytes that came from the source, those that came twice included. */
  received = 0;
  readonly #source: BlobSource;
  readonly #descriptor: Descriptor;
  readonly #signal: AbortSignal;
  readonly #bytes: Uint8Array;
  /** Bytes from the front that are there. */
  #filled = 0;
  #pieces: AsyncIterator<Uint8Array>;
  /** Always asked for one piece ahead. */
  #next: Promise<IteratorResult<Uint8Array>>;

  /** @param signal - ends the request; a blob that is not received to its end has to be ended */
  constructor(source: BlobSource, descriptor: Descriptor, signal: AbortSignal) {
    this.#source = source;
    this.#descriptor = descriptor;
    this.#signal = signal;
    this.#bytes = new Uint8Array(descriptor.size);
    this.#pieces = this.#request();
    this.#next = this.#advance();
  }

  /** All of it, once all of it was taken. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /**
   * Waits for the bytes from `start` to `end`.
   * @param onBytes - called when some have arrived
   * @returns a view
   * @throws {RegistryError} SLUICE_REGISTRY_RANGE when the source ends before; what it throws
   */
  async take(start: number, end: number, onBytes: () => void): Promise<Uint8Array> {
    while (this.#filled < end) {
      const { done, value } = await this.#next;
      if (done === true) {
        const { digest, size } = this.#descriptor;
        throw new RegistryError(
          'SLUICE_REGISTRY_RANGE',
          `Cannot read blob ${digest}: it ends at byte ${this.#filled}`,
          {
            facts: { digest, size, offset: this.#filled },
          },
        );
      }
      const piece = value.subarray(0, this.#bytes.length - this.#filled);
      this.#bytes.set(piece, this.#filled);
      this.#filled += piece.length;
      this.received += piece.length;
      this.#next = this.#advance();
      onBytes();
    }
    return this.#bytes.subarray(start, end);
  }

  /** Asks anew for everything from `offset` on, which has been reached before. */
  resume(offset: number): void {
    this.#filled = offset;
    this.#pieces = this.#request({ start: offset, end: this.#descriptor.size });
    this.#next = this.#advance();
  }

  #request(range?: { start: number; end: number }): AsyncIterator<Uint8Array> {
    return this.#source.readBlob(this.#descriptor, range, this.#signal)[Symbol.asyncIterator]();
  }

  #advance(): Promise<IteratorResult<Uint8Array>> {
    const next = this.#pieces.next();
    // Whoever takes bytes meets the error; until then it must not count as unhandled.
    next.catch(() => undefined);
    return next;
  }
}
