import { loadNative } from '../../src/native.ts';
import { withTemporaryDirectory } from './temporary.ts';

/**
 * Mounts an EROFS image by the kernel itself, read-only, file-backed (Linux 6.12 and later), and unmounts it when `use`
 * is done with it.
 * @param bootstrap - the image; not on tmpfs or overlayfs, which the kernel refuses as a backing file
 * @param devices - a file a device slot, in the order of the image's device table
 */
export function withKernelMount<Result>(
  bootstrap: string,
  devices: readonly string[],
  use: (directory: string) => Promise<Result> | Result,
): Promise<Result> {
  const native = loadNative();
  if (native === undefined) throw new Error('Cannot mount EROFS: the addon is not built');
  return withTemporaryDirectory((directory) => {
    native.mountErofs(bootstrap, directory, devices);
    return use(directory);
  });
}
