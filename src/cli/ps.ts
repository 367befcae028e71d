import { Command } from 'commander';
import type { RemoteMount } from '../control/control-client.ts';
import { addCacheDirOption, addJsonOption, addSocketOption, type CacheFlags, type SocketFlags } from './options.ts';
import { bytesText, columnsText, printResult } from './output.ts';
import { allMounts } from './running-mounts.ts';

interface PsFlags extends CacheFlags, SocketFlags {
  readonly json?: boolean;
}

export function psCommand(): Command {
  const command = new Command('ps')
    .summary('list the mounts')
    .description('Lists the mounts of all processes that use the cache: daemons, and "sluice run".');
  for (const add of [addCacheDirOption, addSocketOption, addJsonOption]) add(command);
  return command.action(ps);
}

async function ps(flags: PsFlags): Promise<void> {
  const mounts = await allMounts(flags);
  printResult(
    flags.json,
    mounts.map(({ pid, status }) => ({ pid, ...status })),
    () =>
      columnsText(
        [['MOUNT POINT', 'IMAGE', 'PID', 'STATE', 'LOCAL', 'RATE', 'WAITING'], ...mounts.map(row)],
        '<<><>>>',
      ),
  );
}

function row({ pid, status: { mountPoint, image, state } }: RemoteMount): string[] {
  const { laziness, local, total, bytesPerSecond, waiting } = state;
  const share = total.bytes === 0 ? 100 : Math.floor((100 * local.bytes) / total.bytes);
  const rate = bytesPerSecond === 0 ? '–' : `${bytesText(bytesPerSecond)}/s`;
  return [mountPoint, image, String(pid), laziness, `${share} %`, rate, String(waiting.reads)];
}
