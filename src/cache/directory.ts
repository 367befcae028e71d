import type { Stats } from 'node:fs';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from 'node:fs';
import path from 'node:path';
import { CacheError } from '../errors.ts';
import type { CacheEngine } from './engine.ts';
import { sleepOneTurn } from './lock.ts';

const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants;

/**
 * A device's folder: the blob's digest, and a digest of the chunk map it is read with. Two images that disagree about
 * one blob's chunks never share a folder, or one could evict bytes the other believes verified.
 */
const folderName = /^(?<blob>[0-9a-f]{64})-[0-9a-f]{32}$/;

/** A device that lies in the cache, whether this process has it open or not. */
export interface DeviceEntry {
  readonly name: string;
  /** 64 hex digits. */
  readonly blob: string;
  readonly path: string;
  /** Bytes of disk in use, of all its files. */
  readonly bytes: number;
  /** Milliseconds since the epoch, exact to a minute or so. */
  readonly lastUsedMs: number;
}

/** Two open files and the folder they lie in. */
export interface DeviceHandles {
  readonly path: string;
  readonly dataFd: number;
  readonly stateFd: number;
}

/**
 * Makes a folder, 0700, below one that is already trusted, or accepts the one that is there.
 * @throws {CacheError} SLUICE_CACHE_UNSAFE when somebody else could change what lies in it
 */
export function ensureFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const stats = lstatSync(folder);
  if (!stats.isDirectory() || !isOurs(stats) || (stats.mode & 0o022) !== 0) {
    throw new CacheError(
      'SLUICE_CACHE_UNSAFE',
      `Cannot use cache "${folder}": it has to be a directory that only its owner, this user, can write to`,
      { facts: { path: folder, mode: stats.mode, uid: stats.uid } },
    );
  }
}

/** The cache's root as the user named it: here, and only here, symbolic links are followed. */
export function ensureRoot(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const root = realpathSync(directory);
  ensureFolder(root);
  return root;
}

/** The devices of a cache. Whatever else lies there is left alone: other names, symbolic links, other users' files. */
export function listDevices(folder: string): DeviceEntry[] {
  const entries: DeviceEntry[] = [];
  for (const name of readdirSync(folder)) {
    if (!folderName.test(name)) continue;
    const devicePath = path.join(folder, name);
    const data = plainFile(path.join(devicePath, 'data'));
    const state = plainFile(path.join(devicePath, 'state'));
    if (data === undefined || state === undefined || !isPlainFolder(devicePath)) continue;
    const bytes = (data.blocks + state.blocks + (plainFile(path.join(devicePath, 'chunks'))?.blocks ?? 0)) * 512;
    entries.push({ name, blob: blobOf(name), path: devicePath, bytes, lastUsedMs: state.mtimeMs });
  }
  return entries;
}

/** The digest in the name of a device's folder, 64 hex digits. */
export function blobOf(name: string): string {
  return name.slice(0, 64);
}

/** How often a device may be removed under one's hands before that is an error. */
const MAXIMUM_OPEN_ATTEMPTS = 20;

/**
 * Opens a device's files, made when missing.
 * @throws {CacheError} SLUICE_CACHE_UNSAFE when something strange lies in their place
 */
export function openDeviceFiles(devicePath: string, engine: CacheEngine): DeviceHandles {
  for (let attempt = 0; attempt < MAXIMUM_OPEN_ATTEMPTS; attempt++) {
    ensureFolder(devicePath);
    const handles = openBoth(devicePath, O_RDWR | O_CREAT);
    if (handles === undefined) continue;
    if (engine.hold(handles.dataFd) && isStillThere(handles)) return handles;
    closeBoth(handles);
    sleepOneTurn();
  }
  throw new CacheError('SLUICE_CACHE_LOCKED', `Cannot open "${devicePath}": another process keeps removing it`);
}

/** Opens what is there; undefined when it is gone or is no device any more. */
export function openExistingDevice(devicePath: string): DeviceHandles | undefined {
  try {
    return openBoth(devicePath, O_RDWR);
  } catch (error) {
    if (error instanceof CacheError) return undefined;
    throw error;
  }
}

/** Opens what is there for reading, where nothing can be written; what is not there is empty. */
export function openReadOnly(devicePath: string): DeviceHandles {
  try {
    const handles = openBoth(devicePath, O_RDONLY);
    if (handles !== undefined) return handles;
  } catch {
    // The disk is broken altogether.
  }
  return { path: devicePath, dataFd: openSync('/dev/null', 'r'), stateFd: openSync('/dev/null', 'r') };
}

export function closeBoth(handles: DeviceHandles): void {
  closeSync(handles.dataFd);
  closeSync(handles.stateFd);
}

/** Whether any process, this one too, has a device open. Without the addon: false. */
export function isHeldByAnybody(devicePath: string, engine: CacheEngine): boolean {
  const handles = openExistingDevice(devicePath);
  if (handles === undefined) return false;
  try {
    return engine.isHeld(handles.dataFd);
  } finally {
    closeBoth(handles);
  }
}

/** Whether the folder still leads to these very files. */
export function isStillThere({ path: devicePath, dataFd, stateFd }: DeviceHandles): boolean {
  const same = (fd: number, name: string): boolean => plainFile(path.join(devicePath, name))?.ino === fstatSync(fd).ino;
  return same(dataFd, 'data') && same(stateFd, 'state');
}

function openBoth(devicePath: string, flags: number): DeviceHandles | undefined {
  const dataFd = openOwnFile(path.join(devicePath, 'data'), flags);
  if (dataFd === undefined) return undefined;
  try {
    const stateFd = openOwnFile(path.join(devicePath, 'state'), flags);
    if (stateFd !== undefined) return { path: devicePath, dataFd, stateFd };
  } catch (error) {
    closeSync(dataFd);
    throw error;
  }
  closeSync(dataFd);
  return undefined;
}

/**
 * Opens a regular file of our own with a single name: a symbolic or hard link would let writes reach another file.
 * @returns undefined when it, or its folder, does not exist
 */
function openOwnFile(file: string, flags: number): number | undefined {
  let fd: number;
  try {
    fd = openSync(file, flags | O_NOFOLLOW, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP' || code === 'EISDIR' || code === 'ENXIO') throw unsafe(file);
    throw new CacheError('SLUICE_CACHE_IO', `Cannot open "${file}": ${code}`, { cause: error });
  }
  const stats = fstatSync(fd);
  if (isPlain(stats)) return fd;
  closeSync(fd);
  // A file that lost its name between open and now is being removed, which is no attack.
  if (stats.nlink === 0) return undefined;
  throw unsafe(file);
}

/**
 * A small file of our own, whole.
 * @returns undefined when there is none, or none that is a plain file of at most `maximumSize` bytes
 */
export function readPlainFile(file: string, maximumSize: number): Buffer | undefined {
  const stats = plainFile(file);
  if (stats === undefined || stats.size > maximumSize) return undefined;
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW);
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Attributes of a regular file of our own with a single name, else undefined. */
export function plainFile(file: string): Stats | undefined {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  return stats !== undefined && isPlain(stats) ? stats : undefined;
}

function isPlain(stats: Stats): boolean {
  return stats.isFile() && stats.nlink === 1 && isOurs(stats);
}

function isPlainFolder(folder: string): boolean {
  const stats = lstatSync(folder, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && isOurs(stats);
}

function isOurs(stats: Stats): boolean {
  return stats.uid === process.geteuid?.();
}

function unsafe(file: string): CacheError {
  return new CacheError('SLUICE_CACHE_UNSAFE', `Cannot use cache file "${file}": it is no plain file of this user`, {
    facts: { path: file },
  });
}
