import { CacheError, SluiceError } from '../errors.ts';

/**
 * What a failed call of the cache means.
 * @param cause - an errno error; undefined when a lock could not be had in time
 * @param what - the device or folder it was about
 */
export function cacheError(cause: unknown, what: string): SluiceError {
  if (cause instanceof SluiceError) return cause;
  if (cause === undefined) {
    return new CacheError('SLUICE_CACHE_LOCKED', `Cannot write to cache of "${what}": another process holds its lock`);
  }
  const errno = (cause as NodeJS.ErrnoException).code;
  const code = errno === 'ENOSPC' || errno === 'EDQUOT' ? 'SLUICE_CACHE_FULL' : 'SLUICE_CACHE_IO';
  return new CacheError(code, `Cannot use cache of "${what}": ${errno ?? String(cause)}`, { cause });
}

/** Calls `action`; what it throws becomes an error of the cache. */
export function translate<T>(folder: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw cacheError(error, folder);
  }
}
