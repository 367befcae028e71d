import path from 'node:path';
import type { Native } from '../native.ts';
import { FlockLock, LinkLock, type Lock } from './lock.ts';
import { type PunchHole, punchHoleBy } from './punch-hole.ts';

/** What the cache needs of the addon. */
export type CacheNative = Pick<Native, 'copyFileRange' | 'flock' | 'punchHole'>;

/** The two ways to lock and to give room back: by the addon, or by what every machine has. */
export interface CacheEngine {
  /**
   * Top of the tree of this format version. Each engine has its own, because their locks do not exclude each other.
   */
  readonly folder: 'v1' | 'v1-portable';
  readonly punchHole: PunchHole;
  /** Copies within the kernel. @returns false when that is not possible here, or not all of it was copied */
  copyRange(fdIn: number, offsetIn: number, fdOut: number, offsetOut: number, length: number): boolean;
  /** @param deviceFolder - path of the device's folder @param stateFd - its open state file */
  lock(deviceFolder: string, stateFd: number): Lock;
  /** Marks a device as open in this process until `dataFd` is closed; false while another process removes it. */
  hold(dataFd: number): boolean;
  /** Whether nobody holds the device; and then nobody can until `dataFd` is closed. */
  holdAlone(dataFd: number): boolean;
  /** Whether somebody else holds the device, as far as can be known. */
  isHeld(dataFd: number): boolean;
}

export function cacheEngine(native: CacheNative | undefined): CacheEngine {
  if (native === undefined) {
    return {
      folder: 'v1-portable',
      punchHole: punchHoleBy(undefined),
      copyRange: () => false,
      lock: (deviceFolder) => new LinkLock(path.join(deviceFolder, 'lock')),
      hold: () => true,
      holdAlone: () => false,
      isHeld: () => false,
    };
  }
  return {
    folder: 'v1',
    punchHole: punchHoleBy(native),
    copyRange: copyRangeBy(native),
    lock: (_, stateFd) => new FlockLock(native, stateFd),
    hold: (dataFd) => native.flock(dataFd, 'shared', false),
    holdAlone: (dataFd) => native.flock(dataFd, 'exclusive', false),
    isHeld: (dataFd) => !native.flock(dataFd, 'exclusive', false),
  };
}

function copyRangeBy(native: Pick<Native, 'copyFileRange'>): CacheEngine['copyRange'] {
  return (fdIn, offsetIn, fdOut, offsetOut, length) => {
    try {
      return native.copyFileRange(fdIn, offsetIn, fdOut, offsetOut, length) === length;
    } catch {
      // Whatever the reason: writing the bytes is tried next, and has its own.
      return false;
    }
  };
}
