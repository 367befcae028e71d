import type { LayerEntry } from '../../src/tree/layer-entry.ts';

interface Node {
  readonly kind: string;
  readonly target: string;
  size: number;
  mode: number;
}

/** A file system as a flat map from path to node: the rules of layers once more, by strings and prefixes alone. */
export class OverlayOracle {
  readonly #nodes = new Map<string, Node>();
  #mine = new Set<string>();

  /** @throws Error for a layer that cannot be applied */
  applyLayer(entries: readonly LayerEntry[]): void {
    this.#mine = new Set();
    for (const entry of entries) this.#apply(entry);
  }

  /** One line a path, with the first path of the same node. */
  lines(): string[] {
    const paths = [...this.#nodes.keys()].sort((a, b) => (order(a) < order(b) ? -1 : 1));
    const firstOf = (node: Node): string => paths.find((path) => this.#nodes.get(path) === node) ?? '';
    return paths.map((path) => {
      const node = this.#nodes.get(path) as Node;
      return `${path} ${node.kind} ${node.size} ${node.mode.toString(8)} ${node.target} ${firstOf(node)}`;
    });
  }

  #apply(entry: LayerEntry): void {
    const names = split(entry.path);
    const name = names.pop() as string;
    const parent = this.#resolve(names, true);
    const path = join(parent, name);
    if (name === '.wh..wh..opq') {
      for (const old of this.#below(parent)) {
        if (![...this.#mine].some((mine) => mine === old || mine.startsWith(`${old}/`))) this.#nodes.delete(old);
      }
    } else if (name.startsWith('.wh.')) {
      this.#remove(join(parent, name.slice(4)));
    } else {
      this.#add(path, entry);
    }
  }

  #add(path: string, entry: LayerEntry): void {
    const existing = this.#nodes.get(path);
    this.#mine.add(path);
    if (existing?.kind === 'directory' && entry.kind === 'directory') {
      existing.mode = entry.mode;
      return;
    }
    this.#remove(path);
    this.#mine.add(path);
    if (entry.kind !== 'hardlink') {
      const mode = entry.kind === 'symlink' ? 0o120777 : entry.mode;
      const target = entry.kind === 'symlink' ? entry.target : '';
      this.#nodes.set(path, { kind: entry.kind, target, size: entry.kind === 'file' ? entry.size : 0, mode });
      return;
    }
    const names = split(entry.target);
    const name = names.pop() as string;
    const node = this.#nodes.get(join(this.#resolve(names, false), name));
    if (node === undefined || node.kind === 'directory') throw new Error(`link to ${entry.target}`);
    if (node.kind !== 'symlink') node.mode = (node.mode & 0o170000) | (entry.mode & 0o7777);
    this.#nodes.set(path, node);
  }

  /** Expands links by rewriting the path and starting over; on the way to make something, those of this layer only. */
  #resolve(names: readonly string[], make: boolean, rewrites = 0): string {
    if (rewrites > 40) throw new Error('loop');
    let path = '';
    for (const [index, name] of names.entries()) {
      const next = join(path, name);
      const node = this.#nodes.get(next);
      const gives = make && node?.kind !== 'directory' && !this.#mine.has(next);
      if (node?.kind === 'symlink' && !gives) {
        const start = node.target.startsWith('/') ? '' : path;
        const rest = names.slice(index + 1).join('/');
        const rewritten = new URL(`x:///${start}/${node.target}/${rest}`).pathname;
        return this.#resolve(split(rewritten), make, rewrites + 1);
      }
      if (gives) this.#makeDirectory(next, node);
      else if (node !== undefined && node.kind !== 'directory') throw new Error(`${next} is no directory`);
      path = next;
    }
    return path;
  }

  #makeDirectory(path: string, hidden: Node | undefined): void {
    const mode = hidden?.kind === 'symlink' ? this.#modeBehind(split(path)) : 0o040755;
    this.#nodes.set(path, { kind: 'directory', target: '', size: 0, mode });
    this.#mine.add(path);
  }

  #modeBehind(names: readonly string[]): number {
    try {
      return this.#nodes.get(this.#resolve(names, false))?.mode ?? 0o040755;
    } catch (error) {
      if ((error as Error).message === 'loop') throw error;
      return 0o040755;
    }
  }

  #below(path: string): string[] {
    return [...this.#nodes.keys()].filter((other) => path === '' || other.startsWith(`${path}/`));
  }

  #remove(path: string): void {
    for (const gone of [path, ...this.#below(path)]) {
      this.#nodes.delete(gone);
      this.#mine.delete(gone);
    }
  }
}

const split = (path: string): string[] => path.split('/').filter((name) => name !== '');
const join = (parent: string, name: string): string => (parent === '' ? name : `${parent}/${name}`);
/** A path sorts before what stands below it, and that before its later siblings. */
const order = (path: string): string => path.replaceAll('/', '\0');
