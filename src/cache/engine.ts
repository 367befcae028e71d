import path from 'node:path';
import type { Native } from '../native.ts';
import { FlockLock, LinkLock, type Lock } from './lock.ts';
import { type PunchHole, punchHoleBy } from './punch-hole.ts';

/** What the cache needs of the addon. */
export type CacheNative = Pick<Native, 'flock' | 'punchHole'>;

/** The two ways to lock and to give room back: by the addon, or by what every machine has. */
export interface CacheEngine {
  /**
   * Top of the tree of this format version. Each engine has its own, because their locks do not exclude each other.
   */
  readonly folder: 'v1' | 'v1-portable';
  readonly punchHole: PunchHole;
  /** @param deviceFolder - path of the device's folder @param stateFd - its open state file */
  lock(deviceFolder: string, stateFd: number): Lock;
  /** Marks a device as open in this process until `dataFd` is closed; false while another process removes it. */
  hold(dataFd: number): boolean;
  /** Whether nobody holds the device; and then nobody can until `dataFd` is closed. */
  holdAlone(dataFd: number): boolean;
}

export function cacheEngine(native: CacheNative | undefined): CacheEngine {
  if (native === undefined) {
    return {
      folder: 'v1-portable',
      punchHole: punchHoleBy(undefined),
      lock: (deviceFolder) => new LinkLock(path.join(deviceFolder, 'lock')),
      hold: () => true,
      holdAlone: () => false,
    };
  }
  return {
    folder: 'v1',
    punchHole: punchHoleBy(native),
    lock: (_, stateFd) => new FlockLock(native, stateFd),
    hold: (dataFd) => native.flock(dataFd, 'shared', false),
    holdAlone: (dataFd) => native.flock(dataFd, 'exclusive', false),
  };
}
