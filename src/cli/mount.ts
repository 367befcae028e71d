import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { Command, Option } from 'commander';
import type { DaemonStatus, MountRequest, MountStatus } from '../control/protocol.ts';
import { mountNamespace } from '../control/socket-file.ts';
import { UsageError } from '../errors.ts';
import type { FailurePolicy } from '../fetch/failure-policy.ts';
import type { Platform } from '../oci/image.ts';
import { formatReference, parseReference } from '../oci/reference.ts';
import {
  addCacheBoundOptions,
  addCacheDirOption,
  addFailureOption,
  addJsonOption,
  addPlatformOption,
  addRegistryOptions,
  addSocketOption,
  type CacheBoundFlags,
  cacheBounds,
  daemonSocketOf,
  parseBytes,
  parseCount,
  type RegistryFlags,
  registryEnvironment,
  registryOptions,
  registryRetry,
  type SocketFlags,
} from './options.ts';
import { bytesText, note, printResult, reportError } from './output.ts';

interface MountFlags extends RegistryFlags, CacheBoundFlags, SocketFlags {
  readonly foreground?: boolean;
  readonly eager?: boolean;
  readonly background?: boolean;
  readonly rate?: number;
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
  sluice mount --background --rate 20M docker://HOST/app:1-sluice /mnt/app
  sluice mount --foreground oci:layout:app /mnt/app
  sluice status /mnt/app
  sluice umount /mnt/app

The mount is there before the image is: what is read is fetched, verified against its digest, and kept in the cache.
What cannot be fetched and verified is an I/O error, never wrong bytes, and the next read tries again.
A daemon serves it, which is started when none runs for the cache directory: docs/daemon.md.`;

export function mountCommand(): Command {
  const command = new Command('mount')
    .summary('mount an image, fetching what is read')
    .description('Mounts a converted image read-only. Its content is fetched as it is read, and verified.')
    .argument('<image>', 'the image to mount')
    .argument('<dir>', 'where to mount it')
    .option('-f, --foreground', 'serve the mount in this process until it is unmounted')
    .addOption(new Option('--eager', 'return when all of the image is here').conflicts('background'))
    .option('--background', 'fetch the rest behind what is read')
    .option('--rate <bytes>', 'with --background: at most so much a second, 20M for example', parseBytes)
    .addOption(
      new Option('--driver <name>', 'who talks to the kernel; libfuse takes libfuse 2 and is slower')
        .choices(['fuse', 'libfuse'])
        .default('fuse'),
    )
    .option('--workers <n>', 'threads of the process that serves the mount, if it is started now', parseCount)
    .option('--profile <name>', 'the image’s profile to start by (default: "default")')
    .option('--no-profile', 'mount as if the image had no profile')
    .option('--no-prefetch', 'fetch what is read, and nothing that a start is expected to read')
    .option('--trace', 'record from the first read on what is read: see sluice trace')
    .option('--log <file>', 'where a daemon that is started now writes events (default: sluice.log in the cache)')
    .addHelpText('after', examples);
  for (const add of [
    addFailureOption,
    addPlatformOption,
    addRegistryOptions,
    addCacheDirOption,
    addCacheBoundOptions,
    addSocketOption,
    addJsonOption,
  ])
    add(command);
  return command.action((image: string, directory: string, flags: MountFlags) =>
    flags.foreground === true ? serve(image, directory, flags) : mount(image, directory, flags),
  );
}

function requestOf(image: string, directory: string, flags: MountFlags): MountRequest {
  const { driver, platform, profile, prefetch, trace, onFailure: failure, eager, background, rate } = flags;
  if (rate !== undefined && background !== true)
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot use --rate without --background');
  const reference = parseReference(image);
  const absolute = reference.transport === 'docker' ? reference : { ...reference, path: path.resolve(reference.path) };
  return {
    image: formatReference(absolute),
    mountPoint: path.resolve(directory),
    driver,
    platform,
    profile,
    // What is fetched as a whole needs no prediction.
    prefetch: prefetch && eager !== true,
    trace: trace === true,
    failure,
    ...(eager === true ? { fill: { kind: 'eager' } } : {}),
    ...(background === true ? { fill: { kind: 'background', bytesPerSecond: rate } } : {}),
    registry: { ...registryOptions(flags), retry: registryRetry(failure) },
  };
}

/** A request as a process takes it that has another working directory, and another environment. */
function requestFromHere(request: MountRequest): MountRequest {
  const { credentialsCommand: [program, ...args] = [] } = request.registry;
  const command = program?.includes('/') ? { credentialsCommand: [path.resolve(program), ...args] } : {};
  return { ...request, registry: { ...request.registry, ...command, environment: registryEnvironment() } };
}

/** How long a daemon that nobody asked for stays when it has no mount. Seconds. */
const idleExit = 60;

async function mount(image: string, directory: string, flags: MountFlags): Promise<void> {
  const request = requestFromHere(requestOf(image, directory, flags));
  const { withDaemon } = await import('../daemon/start-daemon.ts');
  const start = { socket: daemonSocketOf(flags), command: daemonCommandOf(flags), log: logOf(flags) };
  const isEager = request.fill?.kind === 'eager';
  await withDaemon(start, async ({ client, status }) => {
    checkDaemon(status, client.socket, flags);
    const progress = isEager ? followFill(client.socket, request.mountPoint) : undefined;
    try {
      const { mountPoint, state } = await client.mount(request);
      printResult(flags.json, { image, mountPoint, pid: status.pid }, () => `${mountPoint}\n`);
      if (flags.json !== true) note(`${state.why}; "sluice status ${mountPoint}" tells more`);
    } finally {
      clearInterval(progress);
    }
  });
}

/** @throws {UsageError} SLUICE_OPTION_INVALID when it is not as the flags want it */
function checkDaemon({ cache, pid, mountNamespace: itsOwn }: DaemonStatus, socket: string, flags: MountFlags): void {
  checkBound('--cache-size', flags.cacheSize, cache.maximumBytes, pid);
  checkBound('--cache-free', flags.cacheFree, cache.minimumFreeBytes, pid);
  if (itsOwn === mountNamespace()) return;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot mount through the daemon at "${socket}": it mounts in another namespace, where this command cannot see it; leave --socket out`,
  );
}

function checkBound(option: string, wanted: number | undefined, bound: number, pid: number): void {
  if (wanted === undefined || wanted === bound) return;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot use ${option}: the daemon of this cache (pid ${pid}) was started with ${bytesText(bound)}; end it, or leave the option out`,
  );
}

/** The command of this program's daemon. */
function daemonCommandOf(flags: MountFlags): [string, ...string[]] {
  const { cacheDir, cacheSize, cacheFree, workers } = flags;
  const socket = flags.socket && path.resolve(flags.socket);
  const args = ['--cache-dir', path.resolve(cacheDir), '--idle-exit', process.env.SLUICE_IDLE_EXIT ?? String(idleExit)];
  const optional = { '--cache-size': cacheSize, '--cache-free': cacheFree, '--socket': socket, '--workers': workers };
  for (const [name, value] of Object.entries(optional)) if (value !== undefined) args.push(name, String(value));
  args.push('--log', logOf(flags));
  return [process.execPath, ...process.execArgv, path.resolve(process.argv[1] ?? ''), 'daemon', ...args];
}

function logOf({ log, cacheDir }: MountFlags): string {
  return path.resolve(log ?? path.join(cacheDir, 'sluice.log'));
}

const progressMs = 1000;

/** Tells from time to time how far a fill is. */
function followFill(socket: string, mountPoint: string): NodeJS.Timeout {
  const tell = async (): Promise<void> => {
    const { mountsAt } = await import('../control/control-client.ts');
    const canonical = await realpath(mountPoint);
    const mount = (await mountsAt(socket)).find(({ status }) => status.mountPoint === canonical);
    if (mount !== undefined) note(progressText(mount.status));
  };
  return setInterval(() => void tell().catch(() => undefined), progressMs).unref();
}

function progressText({ state: { local, total, bytesPerSecond } }: MountStatus): string {
  const share = total.bytes === 0 ? 100 : Math.floor((100 * local.bytes) / total.bytes);
  return `${share} % of ${bytesText(total.bytes)} here, ${bytesText(bytesPerSecond)}/s`;
}

async function serve(image: string, directory: string, flags: MountFlags): Promise<void> {
  // Threads first: they start on another core while this one loads the rest.
  const { MountWorkers } = await import('../mount/mount-workers.ts');
  const workers = new MountWorkers(flags.workers);
  try {
    await serveHere(requestOf(image, directory, flags), flags, workers);
  } finally {
    await workers.close();
  }
}

async function serveHere(
  request: MountRequest,
  flags: MountFlags,
  workers: import('../mount/mount-workers.ts').MountWorkers,
): Promise<void> {
  const [{ serveRequest }, { ChunkCache }, { ContentPool }, { FetchScheduler }, { loadZstd }] = await Promise.all([
    import('../daemon/serve-request.ts'),
    import('../cache/chunk-cache.ts'),
    import('../mount/image-content.ts'),
    import('../fetch/scheduler.ts'),
    import('../zstd/codec.ts'),
  ]);
  const cache = ChunkCache.open(flags.cacheDir, cacheBounds(flags));
  try {
    const parts = { cache, workers, contents: new ContentPool(), scheduler: new FetchScheduler(), onFailure: note };
    const served = await serveRequest(request, parts);
    const stop = (): void =>
      void served.unmount({ lazy: true }).catch((error) => reportError(error, flags.json === true));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
    if (request.fill?.kind === 'eager') await served.fill.done;
    note(`mounted on ${served.mountPoint}; unmount it, or end this process, to stop`);
    const { offerControl } = await import('../control/offer-control.ts');
    void offerControl(flags.cacheDir, served, note);
    // The first miss needs it; nobody waits for it now.
    void loadZstd();
    await served.ended;
  } finally {
    cache.close();
  }
}
