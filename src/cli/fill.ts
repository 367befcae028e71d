import { Command, Option } from 'commander';
import {
  addCacheDirOption,
  addJsonOption,
  addSocketOption,
  type CacheFlags,
  parseBytes,
  type SocketFlags,
} from './options.ts';
import { printResult } from './output.ts';
import { mountsOf } from './running-mounts.ts';

interface FillFlags extends CacheFlags, SocketFlags {
  readonly rate?: number;
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice fill --rate 20M /mnt/app
  sluice fill --pause /mnt/app
  sluice fill --resume /mnt/app`;

export function fillCommand(): Command {
  const command = new Command('fill')
    .summary('fetch the rest of a mounted image')
    .description('Fetches what of a mounted image is not here yet, behind everything that is read. Returns at once.')
    .argument('<image|dir>', 'a mount point, or an image: all its mounts')
    .option('--rate <bytes>', 'at most so much a second, 20M for example (default: as fast as it goes)', parseBytes)
    .addOption(new Option('--pause', 'stop for now').conflicts(['resume', 'rate']))
    .addOption(new Option('--resume', 'go on').conflicts(['rate']))
    .addHelpText('after', examples);
  for (const add of [addCacheDirOption, addSocketOption, addJsonOption]) add(command);
  return command.action(fill);
}

async function fill(target: string, flags: FillFlags): Promise<void> {
  const action = flags.pause === true ? 'pause' : flags.resume === true ? 'resume' : 'start';
  const mounts = await mountsOf(target, flags);
  const filled = await Promise.all(mounts.map((mount) => mount.fill({ action, bytesPerSecond: flags.rate })));
  printResult(flags.json, filled, () =>
    filled.map(({ mountPoint, state }) => `${mountPoint}: ${state.why}\n`).join(''),
  );
}
