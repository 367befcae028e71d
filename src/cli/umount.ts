import { realpath } from 'node:fs/promises';
import { Command } from 'commander';
import { FuseError } from '../errors.ts';

interface UmountFlags {
  readonly lazy?: boolean;
  readonly force?: boolean;
}

const examples = `
Examples:
  sluice umount /mnt/app
  sluice umount --lazy /mnt/app     when programs still have files open
  sluice umount --force /mnt/app    when the process that served it is gone or hangs`;

export function umountCommand(): Command {
  return new Command('umount')
    .summary('unmount an image')
    .description('Unmounts an image. The process that served it ends when it has no other mount.')
    .argument('<dir>', 'the mount point')
    .option('-l, --lazy', 'take it out of the tree now, end it when the last file is closed')
    .option('--force', 'fail all requests under way first')
    .addHelpText('after', examples)
    .action(umount);
}

async function umount(directory: string, flags: UmountFlags): Promise<void> {
  const [{ unmount }, { findMount }] = await Promise.all([
    import('../fuse/unmount.ts'),
    import('../fuse/mount-info.ts'),
  ]);
  // A mount whose server died cannot be looked at: its parent can.
  const mountPoint = await realpath(directory).catch(() => directory);
  if (findMount(mountPoint)?.type !== 'fuse.sluice') {
    throw new FuseError('SLUICE_UNMOUNT_FAILED', `Cannot unmount "${directory}": no sluice mount is there`);
  }
  await unmount(mountPoint, { lazy: flags.lazy === true, abort: flags.force === true });
}
