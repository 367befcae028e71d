import { Command, CommanderError } from 'commander';
import { SluiceError, UsageError } from '../errors.ts';
import { version } from '../version.ts';
import { reportError } from './output.ts';
import { causeOfAbort } from './signals.ts';

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
  // `run` leaves what follows its image to the container.
  program.enablePositionalOptions();
  // Before the commands copy it: without it commander ends the process itself, with status 1.
  program.exitOverride();
  for (const command of await loadCommands(args)) program.addCommand(command.copyInheritedSettings(program));
  try {
    await program.parseAsync([...args], { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    const error = causeOfAbort(thrown);
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageStatus;
    reportError(error, args.includes('--json'));
    return error instanceof SluiceError ? error.exit : 1;
  }
}

/** In the order of the help. Each is loaded only when it is meant: loading all of them takes as long as Node does. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  convert: async () => (await import('./convert.ts')).convertCommand(),
  mount: async () => (await import('./mount.ts')).mountCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
  ps: async () => (await import('./ps.ts')).psCommand(),
  status: async () => (await import('./status.ts')).statusCommand(),
  fill: async () => (await import('./fill.ts')).fillCommand(),
  umount: async () => (await import('./umount.ts')).umountCommand(),
  daemon: async () => (await import('./daemon.ts')).daemonCommand(),
  upgrade: async () => (await import('./upgrade.ts')).upgradeCommand(),
  trace: async () => (await import('./trace.ts')).traceCommand(),
  optimize: async () => (await import('./optimize.ts')).optimizeCommand(),
  check: async () => (await import('./check.ts')).checkCommand(),
  inspect: async () => (await import('./inspect.ts')).inspectCommand(),
  ls: async () => (await import('./ls.ts')).lsCommand(),
  cat: async () => (await import('./cat.ts')).catCommand(),
  export: async () => (await import('./export.ts')).exportCommand(),
  cache: async () => (await import('./cache.ts')).cacheCommand(),
  bench: async () => (await import('./bench.ts')).benchCommand(),
  demo: async () => (await import('./demo.ts')).demoCommand(),
};

/** The command that is meant; all of them when that is none, for the help and for what commander says of it. */
async function loadCommands(args: readonly string[]): Promise<Command[]> {
  const named = Object.hasOwn(commands, args[0] ?? '') ? commands[args[0] ?? ''] : undefined;
  return Promise.all((named === undefined ? Object.values(commands) : [named]).map((load) => load()));
}

const usageStatus = new UsageError('SLUICE_OPTION_INVALID', 'Cannot parse the command line').exit;
