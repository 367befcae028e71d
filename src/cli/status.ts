import { Command } from 'commander';
import type { DaemonStatus, MountStatus } from '../control/protocol.ts';
import type { Amount } from '../mount/mount-state.ts';
import {
  addCacheDirOption,
  addJsonOption,
  addSocketOption,
  type CacheFlags,
  daemonSocketOf,
  type SocketFlags,
} from './options.ts';
import { bytesText, columnsText, printResult } from './output.ts';
import { allMounts, mountsOf } from './running-mounts.ts';

interface StatusFlags extends CacheFlags, SocketFlags {
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice status                 the daemon, and every mount
  sluice status /mnt/app        whether it is lazy and why, what is here, what waits and since when, what went wrong
  sluice status --json docker://HOST/app:1-sluice`;

export function statusCommand(): Command {
  const command = new Command('status')
    .summary('what a mount is doing, and why')
    .description('Tells what is known of a mount, or of the daemon and all mounts.')
    .argument('[image|dir]', 'a mount point, or an image: all its mounts')
    .addHelpText('after', examples);
  for (const add of [addCacheDirOption, addSocketOption, addJsonOption]) add(command);
  return command.action(status);
}

async function status(target: string | undefined, flags: StatusFlags): Promise<void> {
  if (target !== undefined) {
    const mounts = (await mountsOf(target, flags)).map((mount) => mount.status);
    return printResult(flags.json, mounts, () => mounts.map(mountText).join('\n'));
  }
  const { DaemonClient } = await import('../control/daemon-client.ts');
  const daemon = await new DaemonClient(daemonSocketOf(flags)).status();
  const mounts = (await allMounts(flags)).map((mount) => mount.status);
  printResult(flags.json, { daemon, mounts }, () => [daemonText(daemon), ...mounts.map(mountText)].join('\n'));
}

function daemonText(daemon: DaemonStatus | undefined): string {
  if (daemon === undefined) return 'no daemon runs for this cache\n';
  const { pid, version, started, portable, isHeld, cache, mounts } = daemon;
  const held = isHeld ? 'its mounts outlive it' : 'its mounts end with it';
  const trouble = cache.writable ? '' : `; nothing is stored: ${cache.reason ?? 'unknown'}`;
  return columnsText(
    [
      ['daemon', `pid ${pid}, version ${version}, since ${started}, ${held}`],
      ...(portable === undefined ? [] : [['addon', `missing, each mount takes a thread: ${portable}`]]),
      [
        'cache',
        `${bytesText(cache.bytes)} of ${bytesText(cache.maximumBytes)}, ${bytesText(cache.freeBytes)} free on its disk${trouble}`,
      ],
      ['mounts', String(mounts)],
    ],
    '<<',
  );
}

const amountText = ({ chunks, bytes }: Amount): string => `${bytesText(bytes)} in ${chunks} chunks`;

function mountText({ image, mountPoint, root, isRecording, state }: MountStatus): string {
  const { local, total, fetched, copied, reads, waiting, lastError, place, credentialsObtained } = state;
  const rows: (string[] | undefined)[] = [
    [mountPoint, image],
    ['  state', `${state.laziness}: ${state.why}`],
    ['  here', `${amountText(local)}, of ${amountText(total)}`],
    ['  demand', amountText(fetched.demand)],
    ['  prefetch', amountText(fetched.prefetch)],
    ['  background', amountText(fetched.background)],
    ['  copied', `${amountText(copied)}, which other images had`],
    ['  rate', `${bytesText(state.bytesPerSecond)}/s`],
    ['  reads', `${reads.count}, ${reads.misses} of them had to wait`],
    waiting.reads === 0 ? undefined : ['  waiting', `${waiting.reads} reads, since ${waiting.since ?? 'now'}`],
    place === undefined ? undefined : ['  from', place],
    credentialsObtained === undefined ? undefined : ['  credentials', `of ${credentialsObtained}`],
    lastError === undefined ? undefined : ['  last error', `${lastError.at} ${lastError.message}`],
    isRecording ? ['  recording', 'what is read: see sluice trace'] : undefined,
    ['  root', root],
  ];
  return columnsText(
    rows.filter((row) => row !== undefined),
    '<<',
  );
}
