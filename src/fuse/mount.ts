import { closeSync, openSync } from 'node:fs';
import { FuseError } from '../errors.ts';
import { loadNative, type Native, nativeMissingReason } from '../native.ts';
import { maximumRead } from './reply.ts';
import { runTool, type ToolResult } from './run-tool.ts';

const devicePath = '/dev/fuse';

/** mount(2). Set-user-ID programs and device nodes keep their meaning: the mount is a container's root. */
const MS_RDONLY = 1;

/** What the kernel checks permissions by, and how much one READ may ask for whatever the size of a page. */
const commonOptions = `default_permissions,max_read=${maximumRead}`;

/**
 * Mounts a new FUSE connection read-only, in one of three ways:
 * root with the addon by mount(2); root without it by mount(8), which inherits the descriptor; anybody else by
 * fusermount3, which opens the device and hands it over. Root lets other users in, too; their access is checked.
 *
 * INIT then waits in the descriptor: whoever touches the mount waits until a worker serves it.
 *
 * @param mountPoint - canonical, an existing directory
 * @param source - what /proc/mounts shows as the source, any text; the type there is `fuse.sluice`
 * @returns the descriptor of /dev/fuse, the caller's to close
 * @throws {FuseError} SLUICE_FUSE_UNAVAILABLE, SLUICE_NATIVE_MISSING, SLUICE_MOUNT_FAILED
 */
export async function mount(mountPoint: string, source: string): Promise<number> {
  const native = loadNative();
  if (process.geteuid?.() !== 0) {
    if (native !== undefined) return await mountByHelper(mountPoint, source, native);
    throw new FuseError(
      'SLUICE_NATIVE_MISSING',
      `Cannot mount on "${mountPoint}": only root can without the native addon, which is missing: ${nativeMissingReason()}`,
    );
  }
  const fd = openDevice();
  try {
    if (native === undefined) await mountByTool(fd, mountPoint, source);
    else mountByCall(fd, mountPoint, source, native);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openDevice(): number {
  try {
    return openSync(devicePath, 'r+');
  } catch (cause) {
    throw new FuseError(
      'SLUICE_FUSE_UNAVAILABLE',
      `Cannot open "${devicePath}": load the kernel module "fuse", or pass the device into the container`,
      { cause },
    );
  }
}

/** Source: Documentation/filesystems/fuse.rst, mount options. `rootmode` is octal, the IDs are whose mount it is. */
const optionsOfRoot = (fd: number): string =>
  `fd=${fd},rootmode=40000,user_id=${process.geteuid?.() ?? 0},group_id=${process.getegid?.() ?? 0},allow_other,${commonOptions}`;

function mountByCall(fd: number, mountPoint: string, source: string, native: Native): void {
  try {
    native.mount(source, mountPoint, 'fuse.sluice', MS_RDONLY, optionsOfRoot(fd));
  } catch (cause) {
    throw mountFailed(mountPoint, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** mount(8) passes the source on as it is, and `-i` keeps it from looking for a mount.fuse helper. */
async function mountByTool(fd: number, mountPoint: string, source: string): Promise<void> {
  const options = `ro,${optionsOfRoot(3)}`;
  checkTool(
    await runTool('mount', ['-i', '-t', 'fuse.sluice', '-o', options, '--', source, mountPoint], fd),
    mountPoint,
  );
}

/** The protocol of fusermount3: it sends the descriptor over the socket that `_FUSE_COMMFD` names. */
async function mountByHelper(mountPoint: string, source: string, native: Native): Promise<number> {
  const options = `ro,${commonOptions},subtype=sluice,fsname=${source.replace(/[\\,]/g, '\\$&')}`;
  const [ours, theirs] = native.socketPair();
  try {
    const result = await runTool('fusermount3', ['-o', options, '--', mountPoint], theirs, { _FUSE_COMMFD: '3' });
    checkTool(result, mountPoint);
    const [fd] = native.receiveDescriptors(ours, 1).fds;
    if (fd === undefined) throw mountFailed(mountPoint, 'fusermount3 sent no descriptor');
    return fd;
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

function checkTool(result: ToolResult, mountPoint: string): void {
  if (result.status !== 0) throw mountFailed(mountPoint, result.message || `status ${result.status}`);
}

function mountFailed(mountPoint: string, why: string, cause?: unknown): FuseError {
  return new FuseError('SLUICE_MOUNT_FAILED', `Cannot mount on "${mountPoint}": ${why}`, { cause });
}
