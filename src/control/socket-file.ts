import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { ensureFolder, ensureRoot } from '../cache/directory.ts';
import { UsageError } from '../errors.ts';

/**
 * A process of its own mount: the process, and chance, for namespaces may give two processes one number. A daemon: its
 * namespace of mounts.
 */
const socketName = /^(?:[1-9][0-9]{0,9}-[0-9a-f]{8}|sluiced-[0-9]{1,20})\.sock$/;

/** Bytes of a socket's path, without the NUL behind it. Source: unix(7), `sun_path`. */
const maximumPathBytes = 107;

const folderOf = (cacheDirectory: string): string => path.join(cacheDirectory, 'run');

/** Where a process listens. */
export interface SocketFile {
  readonly file: string;
  /** Its name until it is listened on: so one that refuses is one whose process is gone. */
  readonly temporary: string;
}

/** Which namespace of mounts this process is in: mounts of another one are not seen here. Source: namespaces(7). */
export function mountNamespace(): string {
  return readlinkSync('/proc/self/ns/mnt').replace(/\D/g, '');
}

/**
 * Where this process may listen: a new name in a folder that nobody else can enter.
 * @throws {UsageError} SLUICE_OPTION_INVALID when the path is too long for a socket
 * @throws {CacheError} SLUICE_CACHE_UNSAFE
 */
export function newSocketFile(cacheDirectory: string): SocketFile {
  const folder = runFolder(cacheDirectory);
  return socketFile(path.join(folder, `${process.pid}-${randomBytes(4).toString('hex')}.sock`));
}

/** Where the daemon of a cache listens that mounts where this process can see it. Nothing is made. */
export function daemonSocket(cacheDirectory: string): string {
  return path.join(folderOf(path.resolve(cacheDirectory)), `sluiced-${mountNamespace()}.sock`);
}

/** Whether a socket is where a daemon listens: while it is replaced, it may refuse for a moment. */
export function isDaemonSocket(file: string): boolean {
  return path.basename(file).startsWith('sluiced-');
}

/** @throws {UsageError} SLUICE_OPTION_INVALID when the path is too long for a socket */
export function socketFile(file: string): SocketFile {
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}`);
  const length = Buffer.byteLength(temporary);
  if (length <= maximumPathBytes) return { file, temporary };
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot listen on "${file}": ${length} bytes, and a socket's path has at most ${maximumPathBytes}; want a shorter --cache-dir`,
  );
}

/**
 * Where sockets are: a folder that nobody else can enter, made when missing.
 * @throws {CacheError} SLUICE_CACHE_UNSAFE
 */
export function runFolder(cacheDirectory: string): string {
  const folder = folderOf(ensureRoot(cacheDirectory));
  ensureFolder(folder);
  return folder;
}

/** The sockets of processes that use this cache, whether they live or not. */
export function listSocketFiles(cacheDirectory: string): string[] {
  const folder = folderOf(cacheDirectory);
  try {
    return readdirSync(folder)
      .filter((name) => socketName.test(name))
      .map((name) => path.join(folder, name));
  } catch {
    return [];
  }
}
