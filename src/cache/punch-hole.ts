import { spawnSync } from 'node:child_process';
import type { Native } from '../native.ts';

/**
 * Gives a range of a file back to the disk.
 * @param offset - bytes
 * @param length - bytes
 * @returns false when this file system or machine cannot do it
 */
export type PunchHole = (fd: number, offset: number, length: number) => boolean;

export function punchHoleBy(native: Pick<Native, 'punchHole'> | undefined): PunchHole {
  if (native === undefined) return punchByCommand;
  return (fd, offset, length) => {
    try {
      native.punchHole(fd, offset, length);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EOPNOTSUPP') return false;
      throw error;
    }
  };
}

/** fallocate(1) of util-linux on the inherited descriptor: some milliseconds, against microseconds by the addon. */
function punchByCommand(fd: number, offset: number, length: number): boolean {
  const range = ['--punch-hole', '--offset', String(offset), '--length', String(length)];
  const { status } = spawnSync('fallocate', [...range, '/proc/self/fd/3'], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  return status === 0;
}
