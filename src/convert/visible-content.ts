import type { Extent } from '../erofs/inode.ts';
import { applyLayer } from '../tree/apply-layer.ts';
import type { LayerEntry } from '../tree/layer-entry.ts';
import { emptyDirectory } from '../tree/layer-path.ts';
import { walk } from '../tree/walk.ts';

/** For `dropHidden`: which files' content the finished image still shows, known once every layer is unpacked. */
export class VisibleContent {
  /** Extent lists of the files that the merged tree reaches, by identity: a list belongs to one entry. */
  readonly extents: Promise<ReadonlySet<readonly Extent[]>>;
  readonly #layers: (readonly LayerEntry[] | undefined)[];
  #resolve: (extents: ReadonlySet<readonly Extent[]>) => void = () => undefined;
  #reject: (reason: unknown) => void = () => undefined;

  /** @param count - of layers */
  constructor(count: number) {
    this.#layers = Array.from({ length: count }, () => undefined);
    this.extents = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.extents.catch(() => undefined);
  }

  /** Hands in what an unpacked layer holds. */
  add(layer: number, entries: readonly LayerEntry[]): void {
    this.#layers[layer] = entries;
    if (this.#layers.every((known) => known !== undefined)) this.#resolve(shownExtents(this.#layers));
  }

  /** A layer will never be handed in. */
  fail(reason: unknown): void {
    this.#reject(reason);
  }
}

function shownExtents(layers: readonly (readonly LayerEntry[] | undefined)[]): ReadonlySet<readonly Extent[]> {
  const root = emptyDirectory();
  for (const entries of layers) applyLayer(root, entries ?? []);
  const shown = new Set<readonly Extent[]>();
  for (const { inode } of walk(root)) if (inode.kind === 'file') shown.add(inode.extents);
  return shown;
}
