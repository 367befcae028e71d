import { LRUCache } from 'lru-cache';
import { displayText } from '../byte-string.ts';
import { pathsOf } from '../erofs/paths-of.ts';
import { SluiceError } from '../errors.ts';
import type { OpenImage } from '../image/open-image.ts';
import { missChannels, type ReadFailed } from './miss-channels.ts';
import type { FailedRead } from './mounted-image.ts';

/** Finding a path walks the whole tree: the files of a registry that is away fail over and over. */
const maximumPaths = 1024;

/**
 * Says which file could not be read, to whoever subscribed and to `tell`.
 * @param tell - gets it in words: file and reason
 */
export function failureReporter(
  { bootstrap, reference }: Pick<OpenImage, 'bootstrap' | 'reference'>,
  mountPoint: string,
  tell: (text: string, error: unknown) => void,
): (failure: FailedRead) => void {
  const paths = new LRUCache<number, { readonly path: string | undefined }>({ max: maximumPaths });
  const pathOf = (nid: number): string | undefined => {
    const known = paths.get(nid);
    if (known !== undefined) return known.path;
    const found = pathsOf(bootstrap.erofs, new Set([nid])).get(nid);
    const path = found === undefined ? undefined : displayText(found);
    paths.set(nid, { path });
    return path;
  };
  return ({ nid, offset, error }) => {
    const path = pathOf(nid);
    missChannels.failed.publish({ image: reference, mountPoint, path, offset, error } satisfies ReadFailed);
    const file = path === undefined ? 'a file' : `"${path}"`;
    const reason = error instanceof SluiceError ? `${error.message} (${error.code})` : String(error);
    tell(`Cannot read ${file} at ${offset}: ${reason}`, error);
  };
}
