import { readFileSync } from 'node:fs';
import { ContainerError } from '../errors.ts';

/** What this process may do to the machine. */
export type Privileges =
  /** Root. */
  | 'full'
  /** Root of a user namespace: no device nodes, no control groups, no trusted attributes. */
  | 'namespaced';

/** All IDs there are, mapped to themselves: user_namespaces(7). */
const wholeMap = /^\s*0\s+0\s+4294967295\s*$/;

/**
 * @throws {ContainerError} SLUICE_ROOTFS_FAILED when they do not suffice to run containers
 */
export function privileges(): Privileges {
  const user = process.geteuid?.();
  if (user !== 0) {
    throw new ContainerError(
      'SLUICE_ROOTFS_FAILED',
      `Cannot run containers as user ${user}: it takes root, of a user namespace at least: put "unshare --user --map-root-user --map-auto --mount" in front`,
    );
  }
  return wholeMap.test(readFileSync('/proc/self/uid_map', 'latin1')) ? 'full' : 'namespaced';
}
