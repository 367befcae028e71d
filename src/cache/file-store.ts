import { createHash, randomBytes } from 'node:crypto';
import { constants, lstatSync, readdirSync } from 'node:fs';
import { open, unlink, utimes } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { cacheChannels } from './channels.ts';
import { ensureFolder, plainFile } from './directory.ts';

/**
 * What is kept whole, so that mounting a known image again needs no network.
 * Manifests, configs and hot blobs go by the SHA-256 of their bytes. A bootstrap goes by its Merkle root, which its
 * reader checks; a list of referrers by the SHA-256 of what was asked: what it lists is verified when it is used.
 */
export type FileKind = 'manifest' | 'config' | 'bootstrap' | 'referrers' | 'hot';

const fileName = /^(?:manifest|config|bootstrap|referrers|hot)-[0-9a-f]{64}$/;
/** What is not named after its bytes. */
const unverified: ReadonlySet<FileKind> = new Set(['bootstrap', 'referrers']);

const temporaryName = /^\.[0-9a-f]{16}$/;

/** A temporary file this old belongs to a process that was killed. */
const ABANDONED_MS = 60 * 60 * 1000;

/** Files may take this part of the cache's bound; the longest unused are removed first. */
const SHARE_OF_BOUND = 1 / 8;

/** Whole files beside the chunks: written once, to a temporary name, synced, renamed. */
export class FileStore {
  readonly #folder: string;
  readonly #maximumBytes: number;

  /** @param cacheBytes - the bound of the whole cache */
  constructor(folder: string, cacheBytes: number) {
    this.#folder = folder;
    this.#maximumBytes = Math.floor(cacheBytes * SHARE_OF_BOUND);
    ensureFolder(folder);
  }

  /**
   * Keeps `bytes`. Failures are published, not thrown: the caller has what it needs.
   * @param hex - 64 digits, as {@link FileKind} says
   * @returns whether it is in the cache now
   */
  async put(kind: FileKind, hex: string, bytes: Uint8Array): Promise<boolean> {
    if (bytes.length > this.#maximumBytes) return false;
    const temporary = path.join(this.#folder, `.${randomBytes(8).toString('hex')}`);
    try {
      await writeAtomically(this.#path(kind, hex), temporary, [bytes], 0o600);
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
    const file = this.#path(kind, hex);
    const stats = plainFile(file);
    if (stats === undefined || stats.size > this.#maximumBytes) return undefined;
    try {
      const bytes = await readNoFollow(file);
      if (unverified.has(kind) || createHash('sha256').update(bytes).digest('hex') === hex) {
        const now = new Date();
        await utimes(file, now, now);
        return bytes;
      }
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

  /** Removes the longest unused files until the rest fits, and what killed processes left. */
  async trim(maximumBytes: number): Promise<void> {
    const files = this.#list().sort((a, b) => a.mtimeMs - b.mtimeMs);
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files) {
      const abandoned = file.temporary && Date.now() - file.mtimeMs > ABANDONED_MS;
      if (!abandoned && (file.temporary || bytes <= maximumBytes)) continue;
      await unlink(file.path).catch(() => undefined);
      bytes -= file.bytes;
    }
  }

  #path(kind: FileKind, hex: string): string {
    const name = `${kind}-${hex}`;
    if (!fileName.test(name)) throw new RangeError(`Cannot name a cache file "${name}"`);
    return path.join(this.#folder, name);
  }

  #list(): { path: string; bytes: number; mtimeMs: number; temporary: boolean }[] {
    return readdirSync(this.#folder).flatMap((name) => {
      const temporary = temporaryName.test(name);
      if (!temporary && !fileName.test(name)) return [];
      const file = path.join(this.#folder, name);
      const stats = lstatSync(file, { throwIfNoEntry: false });
      if (stats === undefined || !stats.isFile()) return [];
      return [{ path: file, bytes: stats.blocks * 512, mtimeMs: stats.mtimeMs, temporary }];
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
