import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { FuseError } from '../errors.ts';
import type { FailurePolicy } from '../fetch/failure-policy.ts';
import type { MountWorkers } from '../mount/mount-workers.ts';
import type { ServedImage } from '../mount/serve-image.ts';
import type { Platform } from '../oci/image.ts';
import { type PackedError, packError, reviveError } from '../packed-error.ts';
import {
  addCacheDirOption,
  addFailureOption,
  addJsonOption,
  addPlatformOption,
  addRegistryOptions,
  type CacheFlags,
  defaultCacheSize,
  parseBytes,
  parseCount,
  type RegistryFlags,
  registryOptions,
  registryRetry,
} from './options.ts';
import { note, printResult, reportError } from './output.ts';

interface MountFlags extends RegistryFlags, CacheFlags {
  readonly foreground?: boolean;
  readonly cacheSize?: number;
  readonly onFailure: FailurePolicy;
  readonly driver: 'fuse' | 'libfuse';
  readonly workers?: number;
  readonly platform?: Platform;
  readonly profile?: string | false;
  readonly prefetch: boolean;
  readonly trace?: boolean;
  readonly log?: string;
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice mount docker://HOST/app:1-sluice /mnt/app
  sluice mount --foreground oci:layout:app /mnt/app
  sluice umount /mnt/app

The mount is there before the image is: what is read is fetched, verified against its digest, and kept in the cache.
What cannot be fetched and verified is an I/O error, never wrong bytes, and the next read tries again.`;

export function mountCommand(): Command {
  const command = new Command('mount')
    .summary('mount an image, fetching what is read')
    .description('Mounts a converted image read-only. Its content is fetched as it is read, and verified.')
    .argument('<image>', 'the image to mount')
    .argument('<dir>', 'where to mount it')
    .option('-f, --foreground', 'serve the mount in this process until it is unmounted')
    .option(
      '--cache-size <bytes>',
      'bound of the whole cache, 512M or 10G (default: 10G, a quarter of a small disk)',
      parseBytes,
    )
    .addOption(
      new Option('--driver <name>', 'who talks to the kernel; libfuse takes libfuse 2 and is slower')
        .choices(['fuse', 'libfuse'])
        .default('fuse'),
    )
    .option('--workers <n>', 'threads that serve the mount, of driver fuse', parseCount)
    .option('--profile <name>', 'the image’s profile to start by (default: "default")')
    .option('--no-profile', 'mount as if the image had no profile')
    .option('--no-prefetch', 'fetch what is read, and nothing that a start is expected to read')
    .option('--trace', 'record from the first read on what is read: see sluice trace')
    .option('--log <file>', 'where a mount in the background reports failed reads (default: sluice.log in the cache)')
    .addHelpText('after', examples);
  for (const add of [addFailureOption, addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption])
    add(command);
  return command.action((image: string, directory: string, flags: MountFlags) =>
    flags.foreground || isLaunched() ? serve(image, directory, flags) : launch(image, flags),
  );
}

/** Where the serving process says that the mount answers, or why not: a pipe of whoever launched it. */
const readyFd = 3;
const readyVariable = 'SLUICE_READY_FD';

/** Whether this is the serving process. */
function isLaunched(): boolean {
  return process.env[readyVariable] === String(readyFd);
}

/** Starts the serving process and waits until it says that the mount answers. */
async function launch(image: string, flags: MountFlags): Promise<void> {
  mkdirSync(flags.cacheDir, { recursive: true, mode: 0o700 });
  const log = openSync(flags.log ?? path.join(flags.cacheDir, 'sluice.log'), 'a', 0o600);
  const args = [...process.execArgv, ...smallHeap, ...process.argv.slice(1)];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'ignore', log, 'pipe'],
    env: { ...process.env, ...fewArenas, [readyVariable]: String(readyFd) },
  });
  closeSync(log);
  const answer = await readAnswer(child.stdio[readyFd] as Readable);
  child.unref();
  if ('error' in answer) throw reviveError(answer.error);
  printResult(flags.json, { image, mountPoint: answer.mountPoint, pid: child.pid }, () => `${answer.mountPoint}\n`);
}

/**
 * Chunks come and go as buffers outside the heap, which V8 is in no hurry to free, and malloc keeps what each thread
 * once had, and what is as large as anything that was freed before. Measured with the python image mounted and read as
 * a whole: 155 MB resident without the first two; with them 128, and with all three 107, at the same cost.
 */
const smallHeap = ['--max-semi-space-size=1'];
const fewArenas = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: String(128 * 1024) };

/** What the serving process says, once. */
type Answer = { readonly mountPoint: string } | { readonly error: PackedError };

async function readAnswer(pipe: Readable): Promise<Answer> {
  let text = '';
  for await (const part of pipe.setEncoding('utf8')) text += part;
  if (text !== '') return JSON.parse(text) as Answer;
  return {
    error: packError(new FuseError('SLUICE_MOUNT_FAILED', 'Cannot mount: the serving process died; see its log')),
  };
}

async function serve(image: string, directory: string, flags: MountFlags): Promise<void> {
  const launched = isLaunched();
  delete process.env[readyVariable];
  const answer = (text: Answer): void => {
    writeSync(readyFd, JSON.stringify(text));
    closeSync(readyFd);
  };
  try {
    const served = await start(image, directory, flags);
    if (launched) answer({ mountPoint: served.mountPoint });
    else note(`mounted on ${served.mountPoint}; unmount it, or end this process, to stop`);
    void offerControl(flags.cacheDir, served);
    await served.ended;
  } catch (error) {
    if (launched) answer({ error: packError(error) });
    throw error;
  }
}

/** Loaded when the mount answers: nobody waits for it. */
async function offerControl(cacheDirectory: string, served: ServedImage): Promise<void> {
  const control = await import('../control/offer-control.ts');
  await control.offerControl(cacheDirectory, served, note);
}

async function start(image: string, directory: string, flags: MountFlags): Promise<ServedImage> {
  // Threads first: they start on another core while this one loads the rest.
  const { MountWorkers } = await import('../mount/mount-workers.ts');
  const server = flags.driver === 'libfuse' ? flags.driver : new MountWorkers(flags.workers);
  try {
    return await mountImage(image, directory, flags, server);
  } catch (error) {
    // They would keep the process alive. Doing it twice does no harm.
    if (server !== 'libfuse') await server.close();
    throw error;
  }
}

async function mountImage(
  image: string,
  directory: string,
  flags: MountFlags,
  server: MountWorkers | 'libfuse',
): Promise<ServedImage> {
  const [{ serveImage }, { openContent }, { ChunkCache }, { openSource }, { loadZstd }] = await Promise.all([
    import('../mount/serve-image.ts'),
    import('../mount/image-content.ts'),
    import('../cache/chunk-cache.ts'),
    import('../transport/open.ts'),
    import('../zstd/codec.ts'),
  ]);
  const maximumBytes = flags.cacheSize ?? defaultCacheSize(flags.cacheDir);
  const cache = ChunkCache.open(flags.cacheDir, { maximumBytes });
  const { platform, onFailure: failure } = flags;
  const retry = registryRetry(failure);
  const served = await serveImage({
    open: (onManifest) => {
      const source = openSource(image, { ...registryOptions(flags), retry });
      return openContent({ source, cache, platform, failure, onManifest });
    },
    mountPoint: directory,
    files: cache.files,
    profile: flags.profile,
    prefetch: flags.prefetch,
    server,
    trace: flags.trace,
    onFailure: note,
  });
  const stop = (): void =>
    void served.unmount({ lazy: true }).catch((error) => reportError(error, flags.json === true));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  void served.ended.finally(() => cache.close());
  // The first miss needs it; nobody waits for it now.
  void loadZstd('decompress');
  return served;
}
