import { closeSync, constants, fstatSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import path from 'node:path';
import { ChunkMap, SERIALISED_CHUNK_SIZE } from '../chunk/chunk-map.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import { plainFile, readPlainFile } from './directory.ts';

/** What a device is read with: enough to find its chunks, and to verify them. */
export interface DeviceMap {
  readonly chunks: ChunkMap;
  readonly algorithm: DigestAlgorithm;
}

const fileName = 'chunks';

/** Bytes of an algorithm's name, which the file begins with. */
const NAME_SIZE = 6;

/** A folder whose map is longer than this, 128 GiB of chunks, is left alone: what it costs to look into is bounded. */
const MAXIMUM_MAP_SIZE = NAME_SIZE + 2 ** 20 * SERIALISED_CHUNK_SIZE;

/** The algorithm's name and the serialised chunk map: all that two readers of one blob have to agree on. */
export function deviceMapBytes({ chunks, algorithm }: DeviceMap): Uint8Array {
  return Buffer.concat([Buffer.from(algorithm, 'latin1'), chunks.serialise()]);
}

/** The name of a device's folder: the blob's digest, and 128 bits that stand for `bytes`. @param blob - 64 hex digits */
export function deviceFolderName(blob: string, bytes: Uint8Array): string {
  return `${blob}-${nameDigest(bytes)}`;
}

/**
 * Stores the map in its device's folder, for those who do not have the image. Written in place: whoever writes it
 * writes the same bytes, and one that is not whole does not go with the folder's name.
 */
export function keepDeviceMap(folder: string, bytes: Uint8Array): void {
  const file = path.join(folder, fileName);
  if (plainFile(file)?.size === bytes.length || bytes.length > MAXIMUM_MAP_SIZE) return;
  const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  const fd = openSync(file, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if (fstatSync(fd).nlink > 1) return;
    ftruncateSync(fd, writeSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** The map that lies in a device's folder; undefined when there is none that goes with the folder's name. */
export function readDeviceMap(folder: string): DeviceMap | undefined {
  const file = path.join(folder, fileName);
  try {
    const bytes = readPlainFile(file, MAXIMUM_MAP_SIZE);
    if (bytes === undefined) return undefined;
    const algorithm = bytes.toString('latin1', 0, NAME_SIZE);
    if (folder.endsWith(`-${nameDigest(bytes)}`) && (algorithm === 'sha256' || algorithm === 'blake3')) {
      return { chunks: ChunkMap.parse(bytes.subarray(NAME_SIZE)), algorithm };
    }
    // Damaged on disk: who opens the device next writes it anew.
    unlinkSync(file);
  } catch {
    // Gone meanwhile, or of a disk that fails: the same as none.
  }
  return undefined;
}

/** Removes the map of a device that is being removed. */
export function removeDeviceMap(folder: string): void {
  try {
    unlinkSync(path.join(folder, fileName));
  } catch {
    // There was none.
  }
}

function nameDigest(bytes: Uint8Array): string {
  return Buffer.from(hash('sha256', bytes).subarray(0, 16)).toString('hex');
}
