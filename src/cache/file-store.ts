import { createHash, randomBytes } from 'node:crypto';
import { constants, lstatSync, readdirSync, utimesSync } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { cacheChannels } from './channels.ts';
import { ensureFolder, plainFile } from './directory.ts';

/**
 * What is kept whole, so that mounting a known image again needs no network.
 * Manifests, configs and hot blobs go by the SHA-256 of their bytes. A bootstrap goes by its Merkle root, which its
 * reader checks; a list of referrers by the SHA-256 of what was asked: what it lists is verified when it is used.
 */
export type FileKind = 'manifest' | 'config' | 'bootstrap' | 'referrers' | 'hot' | 'tag';

const fileName = /^(?:manifest|config|bootstrap|referrers|hot|tag)-[0-9a-f]{64}$/;
/** What is not named after its bytes. */
const unverified: ReadonlySet<FileKind> = new Set(['bootstrap', 'referrers', 'tag']);

const temporaryName = /^\.[0-9a-f]{16}$/;

/** A temporary file this old belongs to a process that was killed. */
const ABANDONED_MS = 60 * 60 * 1000;

/** A file whose time of last use lies ahead, but no more than this, is held until then. */
const HOLD_MS = 10 * 60 * 1000;

/** Files may take this part of the cache's bound; the longest unused are removed first. */
const SHARE_OF_BOUND = 1 / 8;

/** The name of a kept file. @param hex - 64 digits, as {@link FileKind} says */
function nameOf(kind: FileKind, hex: string): string {
  const name = `${kind}-${hex}`;
  if (!fileName.test(name)) throw new RangeError(`Cannot name a cache file "${name}"`);
  return name;
}

/** Whole files beside the chunks: written once, to a temporary name, synced, renamed. */
export class FileStore {
  protected readonly folder: string;
  readonly #maximumBytes: number;
  readonly #pinned: () => ReadonlySet<string>;
  readonly #held = new Set<HeldFiles>();

  /**
   * @param cacheBytes - the bound of the whole cache
   * @param pinned - names of files that are never removed to make room
   */
  constructor(folder: string, cacheBytes: number, pinned: () => ReadonlySet<string> = () => new Set()) {
    this.folder = folder;
    this.#pinned = pinned;
    this.#maximumBytes = Math.floor(cacheBytes * SHARE_OF_BOUND);
    ensureFolder(folder);
  }

  /**
   * Keeps `bytes`. Failures are published, not thrown: the caller has what it needs.
   * @param hex - 64 digits, as {@link FileKind} says
   * @returns whether it is in the cache now
   */
  async put(kind: FileKind, hex: string, bytes: Uint8Array): Promise<boolean> {
    const name = nameOf(kind, hex);
    if (bytes.length > this.#maximumBytes) return false;
    const temporary = path.join(this.folder, `.${randomBytes(8).toString('hex')}`);
    try {
      await writeAtomically(path.join(this.folder, name), temporary, [bytes], 0o600);
      await this.trim(this.#maximumBytes);
      return true;
    } catch (error) {
      cacheChannels.failed.publish({ blob: undefined, error });
      return false;
    }
  }

  /**
   * What {@link put} kept. All but a bootstrap is returned only when its digest is right; a wrong one is removed.
   * @returns a buffer of the caller's; undefined when there is none. A bootstrap, or a list of referrers, is **not**
   *   verified.
   */
  async get(kind: FileKind, hex: string): Promise<Uint8Array | undefined> {
    const bytes = await this.peek(kind, hex);
    if (bytes !== undefined) this.noteUse(nameOf(kind, hex), (mtimeMs) => (isHeld(mtimeMs) ? undefined : Date.now()));
    return bytes;
  }

  /** The same for somebody who only looks: it counts as no use. */
  async peek(kind: FileKind, hex: string): Promise<Uint8Array | undefined> {
    const file = path.join(this.folder, nameOf(kind, hex));
    const stats = plainFile(file);
    if (stats === undefined || stats.size > this.#maximumBytes) return undefined;
    try {
      const bytes = await readNoFollow(file);
      if (unverified.has(kind) || createHash('sha256').update(bytes).digest('hex') === hex) return bytes;
      await unlink(file);
    } catch (error) {
      cacheChannels.failed.publish({ blob: undefined, error });
    }
    return undefined;
  }

  /** Bytes of disk in use. */
  usage(): number {
    return this.#list().reduce((sum, file) => sum + file.bytes, 0);
  }

  /**
   * The same store for somebody who needs its files for as long as he lives, a mount: what he gets or puts through the
   * result is not removed by any process before he releases it, or is gone for ten minutes.
   */
  hold(): HeldFiles {
    const { folder } = this;
    const files = new HeldFiles(folder, this.#maximumBytes / SHARE_OF_BOUND, this.#pinned, () =>
      this.#held.delete(files),
    );
    this.#held.add(files);
    return files;
  }

  /** To be called at least once in five minutes: others leave alone what is held here. */
  renew(): void {
    for (const files of this.#held) files.renewHeld();
  }

  /** Names of the files of one kind, without the kind: 64 hex digits each. */
  list(kind: FileKind): string[] {
    return this.#list().flatMap(({ name }) => (name.startsWith(`${kind}-`) ? [name.slice(kind.length + 1)] : []));
  }

  /** Removes the longest unused files until the rest fits, but those that are held or pinned, and what killed processes left. */
  async trim(maximumBytes: number): Promise<void> {
    const files = this.#list().sort((a, b) => a.mtimeMs - b.mtimeMs);
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const pinned = bytes > maximumBytes ? this.#pinned() : new Set();
    for (const file of files) {
      if (pinned.has(file.name) || (!file.temporary && isHeld(file.mtimeMs))) continue;
      const abandoned = file.temporary && Date.now() - file.mtimeMs > ABANDONED_MS;
      if (!abandoned && (file.temporary || bytes <= maximumBytes)) continue;
      await unlink(file.path).catch(() => undefined);
      bytes -= file.bytes;
    }
  }

  /** @param when - from the time of last use to the new one, milliseconds since the epoch; undefined leaves it */
  protected noteUse(name: string, when: (mtimeMs: number) => number | undefined): void {
    const file = path.join(this.folder, name);
    try {
      const time = when(lstatSync(file).mtimeMs);
      if (time !== undefined) utimesSync(file, time / 1000, time / 1000);
    } catch {
      // Removed by hand, or of a disk that lets nothing be noted: it can be used all the same.
    }
  }

  #list(): { name: string; path: string; bytes: number; mtimeMs: number; temporary: boolean }[] {
    return readdirSync(this.folder).flatMap((name) => {
      const temporary = temporaryName.test(name);
      if (!temporary && !fileName.test(name)) return [];
      const file = path.join(this.folder, name);
      const stats = lstatSync(file, { throwIfNoEntry: false });
      if (stats === undefined || !stats.isFile()) return [];
      return [{ name, path: file, bytes: stats.blocks * 512, mtimeMs: stats.mtimeMs, temporary }];
    });
  }
}

async function readNoFollow(file: string): Promise<Uint8Array> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** The face of a {@link FileStore} that remembers what went through it, and keeps it there. */
export class HeldFiles extends FileStore {
  readonly #names = new Set<string>();
  readonly #onRelease: () => void;

  /** Made by {@link FileStore.hold}. */
  constructor(folder: string, cacheBytes: number, pinned: () => ReadonlySet<string>, onRelease: () => void) {
    super(folder, cacheBytes, pinned);
    this.#onRelease = onRelease;
  }

  /** What went through: all that an image needs to be opened again without a network. */
  get names(): string[] {
    return [...this.#names];
  }

  override async put(kind: FileKind, hex: string, bytes: Uint8Array): Promise<boolean> {
    const isKept = await super.put(kind, hex, bytes);
    if (isKept) this.#hold(nameOf(kind, hex));
    return isKept;
  }

  override async get(kind: FileKind, hex: string): Promise<Uint8Array | undefined> {
    const bytes = await super.get(kind, hex);
    if (bytes !== undefined) this.#hold(nameOf(kind, hex));
    return bytes;
  }

  /** Tells all processes that the files are needed for ten more minutes. */
  renewHeld(): void {
    for (const name of this.#names) this.#hold(name);
  }

  release(): void {
    this.#onRelease();
  }

  #hold(name: string): void {
    this.#names.add(name);
    this.noteUse(name, () => Date.now() + HOLD_MS);
  }
}

function isHeld(mtimeMs: number): boolean {
  const ahead = mtimeMs - Date.now();
  return ahead > 0 && ahead <= HOLD_MS;
}
