/**
 * A run of 4096-byte pages of one device image: what profiles resolve to and hot blobs hold.
 * A run lies within one device; it may cross the borders of chunks.
 */
export interface PageRun {
  /** Index into the bootstrap's devices. */
  readonly device: number;
  /** The first page, counted in pages of 4096 bytes from the start of the device. */
  readonly page: number;
  /** Pages; at least 1. */
  readonly pages: number;
}
