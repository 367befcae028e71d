import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { ensureFolder, ensureRoot } from '../cache/directory.ts';
import { UsageError } from '../errors.ts';

/** The process, and chance: namespaces may give two processes one number. */
const socketName = /^[1-9][0-9]{0,9}-[0-9a-f]{8}\.sock$/;

/** Bytes of a socket's path, without the NUL behind it. Source: unix(7), `sun_path`. */
const maximumPathBytes = 107;

const folderOf = (cacheDirectory: string): string => path.join(cacheDirectory, 'run');

/** Where a process listens. */
export interface SocketFile {
  readonly file: string;
  /** Its name until it is listened on: so one that refuses is one whose process is gone. */
  readonly temporary: string;
}

/**
 * Where this process may listen: a new name in a folder that nobody else can enter.
 * @throws {UsageError} SLUICE_OPTION_INVALID when the path is too long for a socket
 * @throws {CacheError} SLUICE_CACHE_UNSAFE
 */
export function newSocketFile(cacheDirectory: string): SocketFile {
  const folder = folderOf(ensureRoot(cacheDirectory));
  ensureFolder(folder);
  const name = `${process.pid}-${randomBytes(4).toString('hex')}.sock`;
  const file = path.join(folder, name);
  const temporary = path.join(folder, `.${name}`);
  const length = Buffer.byteLength(temporary);
  if (length <= maximumPathBytes) return { file, temporary };
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot listen on "${file}": ${length} bytes, and a socket's path has at most ${maximumPathBytes}; want a shorter --cache-dir`,
  );
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
