import { open } from 'node:fs/promises';
import { type ByteString, byteStringFromText, bytesOf } from '../byte-string.ts';
import { S_IFMT, S_IFREG } from '../erofs/inode.ts';
import { ContainerError, NotFoundError } from '../errors.ts';
import { resolvePath } from '../image/resolve-path.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import { type ContainerUser, isRoot, resolveUser } from './container-user.ts';

/** Stops an image whose user database is gigabytes from being read into memory; a real one has kilobytes. */
const maximumDatabaseBytes = 4 << 20;

/**
 * Who `text` is in an image. Its files are found in the bootstrap, so that no symbolic link leads out of the image, and
 * read through the mount, which verifies and keeps what the runtime will read again.
 *
 * @throws {ContainerError} SLUICE_USER_NOT_FOUND
 */
export async function imageUser(served: ServedImage, text: string): Promise<ContainerUser> {
  if (isRoot(text)) return { uid: 0, gid: 0, additionalGids: [] };
  const [passwd, group] = await Promise.all(['/etc/passwd', '/etc/group'].map((path) => readText(served, path)));
  return resolveUser(text, { passwd: passwd ?? '', group: group ?? '' });
}

/** @returns empty when the image has no such file */
async function readText({ content, mountPoint }: ServedImage, path: string): Promise<string> {
  const found = findFile(content.image.bootstrap.erofs, path);
  if (found === undefined) return '';
  if (found.size > maximumDatabaseBytes) {
    throw new ContainerError('SLUICE_USER_NOT_FOUND', `Cannot read the image's "${path}": it has ${found.size} bytes`);
  }
  // Asynchronous, so on a thread of its own: this one has to fetch what is read.
  const handle = await open(Buffer.concat([Buffer.from(`${mountPoint}/`), bytesOf(found.path)]), 'r');
  try {
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

function findFile(
  erofs: Parameters<typeof resolvePath>[0],
  path: string,
): { readonly path: ByteString; readonly size: number } | undefined {
  try {
    const { path: resolved, inode } = resolvePath(erofs, byteStringFromText(path), 'follow');
    return (inode.mode & S_IFMT) === S_IFREG ? { path: resolved, size: inode.size } : undefined;
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
