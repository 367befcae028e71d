/**
 * Where verified chunks come from. Fetching, coalescing, retrying and caching are wrappers with this same interface.
 */
export interface ChunkStore {
  /**
   * One whole chunk, uncompressed and checked against its digest.
   * @param device - index into the bootstrap's devices, from 0
   * @param chunk - index into that device's chunk map
   * @returns a buffer shared with other callers: read only, do not keep longer than needed
   * @throws {IntegrityError} SLUICE_CHUNK_DIGEST_MISMATCH when no source has the right bytes
   * @throws {RegistryError} any code
   */
  read(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array>;
}

/** A {@link ChunkStore} that keeps chunks on this machine. */
export interface LocalChunkStore extends ChunkStore {
  /**
   * Has a chunk come there, for whoever has no use for its bytes, or reads them where they are kept.
   * @returns the bytes of one that could not be kept, shared: read only; undefined when it is there and verified
   * @throws as {@link ChunkStore.read}
   */
  bring(device: number, chunk: number, signal?: AbortSignal): Promise<Uint8Array | undefined>;
}
