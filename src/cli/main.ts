import { Command, CommanderError } from 'commander';
import { SluiceError, UsageError } from '../errors.ts';
import { catCommand } from './cat.ts';
import { checkCommand } from './check.ts';
import { convertCommand } from './convert.ts';
import { demoCommand } from './demo.ts';
import { exportCommand } from './export.ts';
import { inspectCommand } from './inspect.ts';
import { lsCommand } from './ls.ts';
import { mountCommand } from './mount.ts';
import { reportError } from './output.ts';
import { causeOfAbort } from './signals.ts';
import { umountCommand } from './umount.ts';
import { version } from './version.ts';

const examples = `
Examples:
  sluice demo
  sluice convert docker://HOST/app:1 docker://HOST/app:1-sluice
  sluice mount docker://HOST/app:1-sluice /mnt/app
  sluice umount /mnt/app

Images are named as skopeo names them:
  docker://HOST[:PORT]/NAME[:TAG|@DIGEST]   oci:DIR[:TAG]   oci-archive:FILE   docker-archive:FILE`;

/**
 * Runs the command.
 * @param args - without the program's name
 * @returns the exit status (docs/errors.md)
 */
export async function main(args: readonly string[]): Promise<number> {
  const program = new Command('sluice')
    .description('Container images that start before they are downloaded, verified as they are read.')
    .version(version())
    .addHelpText('after', examples)
    .showHelpAfterError('(run with --help for the options)');
  const commands = [
    convertCommand(),
    mountCommand(),
    umountCommand(),
    checkCommand(),
    inspectCommand(),
    lsCommand(),
    catCommand(),
    exportCommand(),
    demoCommand(),
  ];
  // Before the commands copy it: without it commander ends the process itself, with status 1.
  program.exitOverride();
  for (const command of commands) program.addCommand(command.copyInheritedSettings(program));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (thrown) {
    const error = causeOfAbort(thrown);
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageStatus;
    reportError(error, args.includes('--json'));
    return error instanceof SluiceError ? error.exit : 1;
  }
}

const usageStatus = new UsageError('SLUICE_OPTION_INVALID', 'Cannot parse the command line').exit;
