import path from 'node:path';
import { Command } from 'commander';
import { FuseError } from '../errors.ts';
import {
  addCacheDirOption,
  addJsonOption,
  addSocketOption,
  type CacheFlags,
  daemonSocketOf,
  type SocketFlags,
} from './options.ts';
import { printResult } from './output.ts';

interface UpgradeFlags extends CacheFlags, SocketFlags {
  readonly json?: boolean;
}

const examples = `
Examples:
  npm install --global sluice && sluice upgrade

Mounts go on, and so do the programs that read from them: what they ask for in between is answered by the new daemon.`;

export function upgradeCommand(): Command {
  const command = new Command('upgrade')
    .summary('replace the running daemon by this version')
    .description('Replaces the running daemon by the one of this command, without a failed read.')
    .addHelpText('after', examples);
  for (const add of [addCacheDirOption, addSocketOption, addJsonOption]) add(command);
  return command.action(upgrade);
}

async function upgrade(flags: UpgradeFlags): Promise<void> {
  const { DaemonClient } = await import('../control/daemon-client.ts');
  const client = new DaemonClient(daemonSocketOf(flags));
  const before = await client.status();
  if (before === undefined)
    throw new FuseError('SLUICE_CONTROL_UNAVAILABLE', `Cannot upgrade: no daemon listens on "${client.socket}"`);
  const program = path.resolve(process.argv[1] ?? '');
  const { pid, stallMs } = await client.upgrade({ program: [process.execPath, program] });
  printResult(flags.json, { from: before.pid, pid, stallMs, mounts: before.mounts }, () => {
    return `pid ${before.pid} handed ${before.mounts} mounts to pid ${pid}; nobody was answered for ${stallMs} ms\n`;
  });
}
