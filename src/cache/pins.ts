import { randomBytes } from 'node:crypto';
import { readdirSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { CacheError } from '../errors.ts';
import { type DeviceMap, deviceFolderName, deviceMapBytes } from './device-map.ts';
import { ensureFolder, readPlainFile } from './directory.ts';

/** A device of a pinned image. */
export interface PinnedDevice {
  /** Of its folder. */
  readonly name: string;
  /** When all of it is local. */
  readonly bytes: number;
}

/** An image whose chunks and documents nobody evicts. */
export interface Pin {
  /** Merkle root of its bootstrap, 64 hex digits. */
  readonly root: string;
  /** As it was named when it was pinned. */
  readonly reference: string;
  /** Digest of its manifest. */
  readonly manifest: string;
  readonly devices: readonly PinnedDevice[];
  /** Names in the {@link FileStore}. */
  readonly files: readonly string[];
}

/** An image to pin, and the documents it is opened from. */
export interface PinRequest extends Omit<Pin, 'devices'> {
  readonly devices: readonly (DeviceMap & { readonly blob: string })[];
}

const pinName = /^[0-9a-f]{64}$/;

/** A pin of ten thousand files is a megabyte; what is longer is none of ours. */
const MAXIMUM_PIN_SIZE = 4 * 2 ** 20;

/** The pins of a cache: one file an image, whole or not there, read again by whoever evicts. */
export class Pins {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Adds a pin, or replaces the one of the same image.
   * @param maximumBytes - of all pinned devices together
   * @throws {CacheError} SLUICE_PIN_TOO_LARGE
   */
  async add({ devices, ...image }: PinRequest, maximumBytes: number): Promise<void> {
    const own = devices.map(({ blob, chunks, algorithm }) => {
      return { name: deviceFolderName(blob, deviceMapBytes({ chunks, algorithm })), bytes: chunks.deviceSize };
    });
    const pinned = new Map([...this.devices(), ...own.map(({ name, bytes }) => [name, bytes] as const)]);
    const pinnedBytes = [...pinned.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (pinnedBytes > maximumBytes) {
      const why = `${pinnedBytes} bytes would be pinned, the cache is bound to ${maximumBytes}`;
      const facts = { pinnedBytes, maximumBytes };
      throw new CacheError('SLUICE_PIN_TOO_LARGE', `Cannot pin "${image.reference}": ${why}`, { facts });
    }
    const pin: Pin = { ...image, devices: own };
    ensureFolder(this.#folder);
    const temporary = path.join(this.#folder, `.${randomBytes(8).toString('hex')}`);
    await writeAtomically(this.#path(pin.root), temporary, [Buffer.from(JSON.stringify(pin))], 0o600);
  }

  remove(root: string): void {
    unlinkSync(this.#path(root));
  }

  list(): Pin[] {
    return this.#names().flatMap((name) => this.#read(name) ?? []);
  }

  /** Names of all pinned devices, with what each of them takes when it is local. */
  devices(): Map<string, number> {
    return new Map(this.list().flatMap(({ devices }) => devices.map(({ name, bytes }) => [name, bytes] as const)));
  }

  /** Names of all pinned files. */
  files(): Set<string> {
    return new Set(this.list().flatMap(({ files }) => files));
  }

  #path(root: string): string {
    if (!pinName.test(root)) throw new RangeError(`Cannot name a pin "${root}"`);
    return path.join(this.#folder, root);
  }

  #names(): string[] {
    try {
      return readdirSync(this.#folder).filter((name) => pinName.test(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  #read(root: string): Pin | undefined {
    try {
      const pin: unknown = JSON.parse(readPlainFile(this.#path(root), MAXIMUM_PIN_SIZE)?.toString('utf8') ?? '');
      return isPin(pin) && pin.root === root ? pin : undefined;
    } catch {
      // Unpinned meanwhile, or damaged: no pin.
      return undefined;
    }
  }
}

function isPin(value: unknown): value is Pin {
  const pin = value as Partial<Pin> | null;
  return (
    typeof pin === 'object' &&
    pin !== null &&
    [pin.root, pin.reference, pin.manifest].every((text) => typeof text === 'string') &&
    Array.isArray(pin.devices) &&
    pin.devices.every(({ name, bytes }) => typeof name === 'string' && Number.isSafeInteger(bytes)) &&
    Array.isArray(pin.files) &&
    pin.files.every((name) => typeof name === 'string')
  );
}
