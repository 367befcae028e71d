import type { Digest } from '../oci/digest.ts';

/** Digests of the blobs of one image as they become known: each layer's metadata names those below it. */
export class BlobChain {
  readonly #links: {
    readonly digest: Promise<Digest>;
    readonly resolve: (digest: Digest) => void;
    readonly reject: (reason: unknown) => void;
  }[];

  constructor(count: number) {
    this.#links = Array.from({ length: count }, () => {
      let resolve: (digest: Digest) => void = () => undefined;
      let reject: (reason: unknown) => void = () => undefined;
      const digest = new Promise<Digest>((onDigest, onFailure) => {
        resolve = onDigest;
        reject = onFailure;
      });
      // Nobody may be waiting when a layer fails; its own promise tells.
      digest.catch(() => undefined);
      return { digest, resolve, reject };
    });
  }

  announce(layer: number, digest: Digest): void {
    this.#links[layer]?.resolve(digest);
  }

  /** Whoever waits for this layer need not wait longer. */
  fail(layer: number, reason: unknown): void {
    this.#links[layer]?.reject(reason);
  }

  /** The blobs below `layer`, lowest first. */
  below(layer: number): Promise<Digest[]> {
    return Promise.all(this.#links.slice(0, layer).map((link) => link.digest));
  }
}
