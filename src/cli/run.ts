import { writeSync } from 'node:fs';
import path from 'node:path';
import { isatty } from 'node:tty';
import { Command, Option } from 'commander';
import { UsageError } from '../errors.ts';
import type { FailurePolicy } from '../fetch/failure-policy.ts';
import type { MountWorkers } from '../mount/mount-workers.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import type { Platform } from '../oci/image.ts';
import type { ContainerOptions, Volume } from '../runtime/container-options.ts';
import type { RuntimeName } from '../runtime/find-runtime.ts';
import {
  addCacheDirOption,
  addFailureOption,
  addPlatformOption,
  addRegistryOptions,
  type CacheFlags,
  defaultCacheSize,
  parseBytes,
  type RegistryFlags,
  registryOptions,
  registryRetry,
} from './options.ts';
import { reportError } from './output.ts';
import { causeOfAbort } from './signals.ts';

interface RunFlags extends RegistryFlags, CacheFlags {
  readonly entrypoint?: string;
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly volume: readonly Volume[];
  readonly network: 'host' | 'none';
  readonly name?: string;
  readonly tty?: boolean;
  readonly interactive?: boolean;
  readonly readOnly?: boolean;
  readonly runtime?: RuntimeName;
  readonly stateDir?: string;
  readonly cacheSize?: number;
  readonly onFailure: FailurePolicy;
  readonly platform?: Platform;
  readonly eager?: boolean;
  readonly prefetch: boolean;
  readonly profile?: string | false;
  readonly trace?: boolean;
  readonly report?: string;
}

const examples = `
Examples:
  sluice run docker://HOST/app:1-sluice
  sluice run -it docker://HOST/app:1-sluice /bin/sh
  sluice run -e MODE=test -v /srv/data:/data:ro -u app oci:layout:app serve --port 8080

The container starts before its image is here: what it reads is fetched, verified, and kept in the cache. Its exit status
is the command's. A failure before it began is told on stderr and has status 125.`;

export function runCommand(): Command {
  const command = new Command('run')
    .summary('run a container on an image, fetching what it reads')
    .description(
      'Runs a container on a converted image, by runc or crun, until it ends. Its files are fetched as they are read.',
    )
    .argument('<image>', 'the image to run')
    .argument('[command...]', 'instead of the image’s own command')
    .option('--entrypoint <program>', 'instead of the image’s entrypoint; empty for none')
    .option('-e, --env <name=value>', 'set a variable; without a value: as it is here', collectVariable, [])
    .option('-w, --workdir <dir>', 'where the command starts; made if it does not exist')
    .option('-u, --user <user[:group]>', 'who runs it, names or numbers; names are looked up in the image')
    .option('-v, --volume <src:dst[:ro]>', 'show a file or folder of this machine in the container', collectVolume, [])
    .addOption(
      new Option('--network <kind>', 'this machine’s network, or a loopback interface alone')
        .choices(['host', 'none'])
        .default('host'),
    )
    .option('--name <name>', 'name of the container, and its host name (default: random)')
    .option('-i, --interactive', 'pass standard input on')
    .option('-t, --tty', 'give the container a terminal: the one this command runs in')
    .option('--read-only', 'refuse writes to the root file system')
    .addOption(
      new Option('--runtime <name>', 'what runs it (default: crun where it works, else runc)').choices([
        'crun',
        'runc',
      ]),
    )
    .option('--state-dir <dir>', 'where containers keep what they write (default: containers in the cache)')
    .option(
      '--cache-size <bytes>',
      'bound of the whole cache, 512M or 10G (default: 10G, a quarter of a small disk)',
      parseBytes,
    )
    .option('--profile <name>', 'the image’s profile to start by; with --trace, the one to record (default: "default")')
    .option('--no-profile', 'start as if the image had no profile')
    .option('--no-prefetch', 'fetch what is read, and nothing that a start is expected to read')
    .option('--eager', 'fetch the whole image before the container starts')
    .option('--trace', 'record what is read, for sluice optimize')
    .option('--report <file>', 'write what the start took, as JSON, when the container has ended')
    .passThroughOptions()
    .addHelpText('after', examples);
  for (const add of [addFailureOption, addPlatformOption, addRegistryOptions, addCacheDirOption]) add(command);
  return command.action(run);
}

/** Status of a failure that is not the container's, as with Docker and Podman. */
const notStarted = 125;

async function run(image: string, command: readonly string[], flags: RunFlags): Promise<void> {
  const { MountWorkers } = await import('../mount/mount-workers.ts');
  // Threads first: they start on another core while this one loads the rest.
  const server = new MountWorkers();
  try {
    process.exitCode = await runOn(server, image, command, flags);
  } catch (thrown) {
    const error = causeOfAbort(thrown);
    reportError(error, false);
    process.exitCode = error instanceof UsageError && error.code === 'SLUICE_CANCELLED' ? error.exit : notStarted;
  } finally {
    await server.close();
  }
}

/** When "sluice trace" finds a container: nothing that a start has to wait for. */
const controlAfterMs = 500;

async function offerControl(cacheDirectory: string, served: ServedImage): Promise<void> {
  const control = await import('../control/offer-control.ts');
  await control.offerControl(cacheDirectory, served, warn);
}

async function runOn(
  server: MountWorkers,
  image: string,
  command: readonly string[],
  flags: RunFlags,
): Promise<number> {
  const container = containerOptions(command, flags);
  const [{ runImage }, { openContent }, { ChunkCache }, { openSource }, { ProfileStore, checkProfileName }] =
    await Promise.all([
      import('../runtime/run-image.ts'),
      import('../mount/image-content.ts'),
      import('../cache/chunk-cache.ts'),
      import('../transport/open.ts'),
      import('../profile/profile-store.ts'),
    ]);
  const { platform, profile } = flags;
  const record = { store: new ProfileStore(flags.cacheDir), name: checkProfileName(profile || 'default') };
  const failure = flags.onFailure;
  const retry = registryRetry(failure);
  const maximumBytes = flags.cacheSize ?? defaultCacheSize(flags.cacheDir);
  const cache = ChunkCache.open(flags.cacheDir, { maximumBytes });
  try {
    return await runImage({
      open: (onManifest, signal) => {
        const source = openSource(image, { ...registryOptions(flags), retry });
        return openContent({ source, cache, platform, failure, onManifest, signal });
      },
      serve: {
        files: cache.files,
        server,
        onFailure: warn,
        profile,
        prefetch: flags.prefetch && flags.eager !== true,
      },
      container,
      runtime: flags.runtime,
      stateDir: flags.stateDir ?? path.join(flags.cacheDir, 'containers'),
      name: flags.name,
      eager: flags.eager === true,
      record: flags.trace === true ? record : undefined,
      // By the time there is something to control, the container is on its way.
      onServed: (served) => void setTimeout(() => void offerControl(flags.cacheDir, served), controlAfterMs).unref(),
      report: flags.report,
    });
  } finally {
    cache.close();
  }
}

function containerOptions(command: readonly string[], flags: RunFlags): ContainerOptions {
  if (flags.tty === true && !isatty(0)) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot give the container a terminal: standard input is none');
  }
  return {
    command,
    entrypoint: flags.entrypoint,
    environment: flags.env,
    workingDirectory: flags.workdir,
    user: flags.user,
    volumes: flags.volume,
    network: flags.network,
    terminal: flags.tty === true,
    interactive: flags.interactive === true || flags.tty === true,
    readOnly: flags.readOnly === true,
  };
}

/** Not through process.stderr: it makes a pipe non-blocking, for the container as well, whose writes would then fail. */
function warn(text: string): void {
  try {
    writeSync(2, `sluice: ${text}\n`);
  } catch {
    // Nobody reads it.
  }
}

/** For commander. A variable that is named alone and not set here is left out. */
function collectVariable(text: string, before: readonly string[]): readonly string[] {
  if (text.includes('=')) return [...before, text];
  const value = process.env[text];
  return value === undefined ? before : [...before, `${text}=${value}`];
}

/** For commander. */
function collectVolume(text: string, before: readonly Volume[]): readonly Volume[] {
  const [source = '', destination = '', access = 'rw', ...rest] = text.split(':');
  if (source === '' || !destination.startsWith('/') || !['ro', 'rw'].includes(access) || rest.length > 0) {
    throw new UsageError(
      'SLUICE_OPTION_INVALID',
      `Cannot use volume "${text}": want SOURCE:/DESTINATION, or with ":ro"`,
    );
  }
  return [...before, { source: path.resolve(source), destination, readOnly: access === 'ro' }];
}
