import { NotFoundError, RegistryError, SluiceError } from '../errors.ts';
import { Health } from './health.ts';
import type { Link } from './link.ts';

/** What a place answers when it works, and does not have this blob for us. */
const refusals: ReadonlySet<string> = new Set(['SLUICE_REGISTRY_UNAUTHORIZED', 'SLUICE_REGISTRY_DENIED']);

/** Whether waiting may help where trying again at once does not: credentials are renewed, a blob is pushed. */
export function isRefusal(error: unknown): boolean {
  return error instanceof NotFoundError || (error instanceof SluiceError && refusals.has(error.code));
}

/**
 * The places that have the blobs of an image, best first, and which of them to ask: the first that works, has the blob,
 * and was not tried for the same chunk before.
 */
export class Places {
  readonly #links: readonly Link[];
  readonly #now: () => number;
  /** Of the blobs of each place: a mirror need not have them all. */
  readonly #blobs: readonly Map<string, Health>[];

  /** @param links - at least one */
  constructor(links: readonly Link[], now: () => number) {
    this.#links = links;
    this.#now = now;
    this.#blobs = links.map(() => new Map());
  }

  get count(): number {
    return this.#links.length;
  }

  /** @returns index of a place; undefined when all were tried */
  choose(blob: string, tried: ReadonlySet<number>): number | undefined {
    let best: number | undefined;
    let bestAt = Number.POSITIVE_INFINITY;
    for (let place = 0; place < this.count; place++) {
      const readyAt = this.#readyAt(place, blob);
      // Where all of them rest, the one that is ready first: asking is better than failing.
      if (tried.has(place) || readyAt >= bestAt) continue;
      best = place;
      bestAt = readyAt;
    }
    return best;
  }

  /** Whether there is another place that works. */
  hasAlternative(place: number, blob: string, tried: ReadonlySet<number>): boolean {
    return this.#links.some((_, i) => i !== place && !tried.has(i) && this.#readyAt(i, blob) === 0);
  }

  /** A place better than `chosen` that failed and may work again; its {@link settle} has to follow. */
  takeProbe(chosen: number, blob: string): number | undefined {
    const now = this.#now();
    for (let place = 0; place < chosen; place++) {
      const own = this.#links[place]?.health;
      const ofBlob = this.#blobs[place]?.get(blob);
      const isReady = [own, ofBlob].every(
        (health) => health === undefined || health.isGood || now >= health.restsUntil,
      );
      if (isReady && (own?.takeProbe(now) || ofBlob?.takeProbe(now))) return place;
    }
    return undefined;
  }

  /** A probe is over, whatever {@link succeeded} or {@link failed} said of it. */
  settle(place: number, blob: string): void {
    this.#links[place]?.health.probed();
    this.#blobs[place]?.get(blob)?.probed();
  }

  succeeded(place: number, blob: string): void {
    this.#links[place]?.health.succeeded();
    this.#blobs[place]?.delete(blob);
  }

  failed(place: number, blob: string, error: unknown): void {
    const asked = error instanceof RegistryError ? Number(error.facts.retryAfterMs ?? 0) : 0;
    const health = isRefusal(error) ? this.#ofBlob(place, blob) : this.#links[place]?.health;
    health?.failed(this.#now(), asked);
  }

  /** When the place may be asked for the blob; 0 for one that works. */
  #readyAt(place: number, blob: string): number {
    return Math.max(this.#links[place]?.health.restsUntil ?? 0, this.#blobs[place]?.get(blob)?.restsUntil ?? 0);
  }

  #ofBlob(place: number, blob: string): Health | undefined {
    const blobs = this.#blobs[place];
    const health = blobs?.get(blob) ?? new Health();
    blobs?.set(blob, health);
    return health;
  }
}
