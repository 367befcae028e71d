/** A number of chunks, and their uncompressed bytes. */
export interface Amount {
  readonly chunks: number;
  readonly bytes: number;
}

/** What is known of a mount at one moment. Plain data: it goes through the API as it is. */
export interface MountState {
  /** `local`: nothing has to be fetched any more, and the mount needs no network. */
  readonly laziness: 'lazy' | 'filling' | 'paused' | 'local';
  /** Why, in words: "mounted lazily", "filling in the background at 20 MB/s", "every chunk is in the cache". */
  readonly why: string;
  readonly local: Amount;
  readonly total: Amount;
  /** What was fetched since the mount was made, by who asked. */
  readonly fetched: Readonly<Record<'demand' | 'prefetch' | 'background', Amount>>;
  /** What other blobs in the cache had. */
  readonly copied: Amount;
  /** Compressed bytes from the network, over the last seconds. */
  readonly bytesPerSecond: number;
  /** Since the mount was made, page cache aside; zeros where the driver does not count. `bytes`: without the misses'. */
  readonly reads: { readonly count: number; readonly bytes: number; readonly misses: number };
  /** Reads that wait for chunks now; `since` is the oldest one's, ISO 8601. */
  readonly waiting: { readonly reads: number; readonly since: string | undefined };
  readonly lastError: { readonly code: string | undefined; readonly message: string; readonly at: string } | undefined;
  /** Where the last chunk came from: a URL without credentials. */
  readonly place: string | undefined;
  /** When the registry's credentials were last obtained, ISO 8601; undefined when none were needed. */
  readonly credentialsObtained: string | undefined;
}
