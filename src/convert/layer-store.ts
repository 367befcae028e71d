import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { FormatError } from '../errors.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';

/** What is known of a finished layer, besides its metadata. */
export interface LayerRecord {
  readonly blob: Digest;
  /** Of the blob, bytes. */
  readonly size: number;
  /** SHA-256 of the device image: the diff_id of the converted layer. */
  readonly deviceDigest: Digest;
  /** Repositories the blob was pushed to, for cross-repository mounts. */
  readonly repositories: readonly string[];
}

export interface FinishedLayer extends LayerRecord {
  /** The blob's metadata payload. */
  readonly metadata: Uint8Array;
}

/**
 * The layers this machine has converted, by layer key. Metadata stays, so that a layer found in a target is not
 * converted again; the blob itself stays only until it has been pushed.
 * Each write is atomic; several processes may share the folder.
 */
export class LayerStore {
  readonly #directory: string;

  /** @param directory - created when missing */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Where the blob of `key` lies while it waits to be pushed. */
  blobPath(key: string): string {
    return path.join(this.#layer(key), 'blob');
  }

  async hasBlob(key: string): Promise<boolean> {
    return (await stat(this.blobPath(key)).catch(() => undefined)) !== undefined;
  }

  /** Removes what conversions that were killed left behind: files of processes that are no more. */
  async sweep(): Promise<void> {
    const folder = path.join(this.#directory, 'tmp');
    const names = await readdir(folder).catch(() => []);
    for (const name of names) {
      const pid = Number(/^[a-z.]+-(\d+)-/.exec(name)?.[1]);
      if (Number.isInteger(pid) && !isAlive(pid)) await rm(path.join(folder, name), { force: true });
    }
  }

  /** A fresh path on the same disk, for a blob that is being made. */
  async temporaryPath(name: string): Promise<string> {
    const folder = path.join(this.#directory, 'tmp');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return path.join(folder, `${name}-${process.pid}-${randomUUID()}`);
  }

  /** The finished layer, or `undefined`; a damaged record counts as none. */
  async find(key: string): Promise<FinishedLayer | undefined> {
    try {
      const record = parseRecord(await readFile(path.join(this.#layer(key), 'record.json'), 'utf8'));
      return { ...record, metadata: await readFile(path.join(this.#layer(key), 'metadata')) };
    } catch (error) {
      if (error instanceof FormatError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Keeps a layer that was just made; `blobFile` is moved in. */
  async add(key: string, layer: FinishedLayer, blobFile: string): Promise<void> {
    await mkdir(this.#layer(key), { recursive: true, mode: 0o700 });
    await rename(blobFile, this.blobPath(key));
    await this.addRecord(key, layer);
  }

  /** Keeps what is known of a layer whose blob lies elsewhere. The record goes last: it is what makes the rest count. */
  async addRecord(key: string, layer: FinishedLayer): Promise<void> {
    const { metadata, ...record } = layer;
    await mkdir(this.#layer(key), { recursive: true, mode: 0o700 });
    await this.#replace(path.join(this.#layer(key), 'metadata'), metadata);
    await this.#replace(path.join(this.#layer(key), 'record.json'), Buffer.from(JSON.stringify(record)));
  }

  /** Notes that the blob is in `repository` now, and lets go of the local copy. */
  async pushed(key: string, layer: FinishedLayer, repository: string | undefined): Promise<void> {
    if (repository !== undefined && !layer.repositories.includes(repository)) {
      await this.addRecord(key, { ...layer, repositories: [...layer.repositories, repository] });
    }
    await rm(this.blobPath(key), { force: true });
  }

  #layer(key: string): string {
    return path.join(this.#directory, key);
  }

  async #replace(file: string, bytes: Uint8Array): Promise<void> {
    await writeAtomically(file, await this.temporaryPath(path.basename(file)), [bytes], 0o600);
  }
}

function parseRecord(text: string): LayerRecord {
  let value: Partial<Record<keyof LayerRecord, unknown>>;
  try {
    value = Object(JSON.parse(text));
  } catch (cause) {
    throw new FormatError('SLUICE_CONFIG_INVALID', 'Cannot use layer record: it is no JSON', { cause });
  }
  const { blob, size, deviceDigest, repositories } = value;
  if (!Number.isSafeInteger(size) || !Array.isArray(repositories)) {
    throw new FormatError('SLUICE_CONFIG_INVALID', 'Cannot use layer record: a field is missing');
  }
  return {
    blob: parseDigest(String(blob)),
    size: Number(size),
    deviceDigest: parseDigest(String(deviceDigest)),
    repositories: repositories.map(String),
  };
}

/** Another user's process is alive too, though it may not be signalled. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
