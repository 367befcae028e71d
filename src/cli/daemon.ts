import { Command } from 'commander';
import type { ListenPlace } from '../control/json-server.ts';
import { UsageError } from '../errors.ts';
import type { HolderEvent } from '../holder/holder.ts';
import type { Log } from '../log/log.ts';
import type { Native } from '../native.ts';
import {
  addCacheBoundOptions,
  addCacheDirOption,
  addLogOptions,
  addSocketOption,
  type CacheBoundFlags,
  cacheBounds,
  daemonSocketOf,
  type LogFlags,
  parseCount,
  type SocketFlags,
} from './options.ts';

interface DaemonFlags extends CacheBoundFlags, LogFlags, SocketFlags {
  readonly idleExit?: number;
  readonly metrics?: { readonly host: string; readonly port: number };
  readonly workers?: number;
  readonly log?: string;
}

const examples = `
Examples:
  sluice daemon
  sluice daemon --metrics 127.0.0.1:9464 --log-format json
  systemctl enable --now sluiced.socket     with the units in docs/systemd

"sluice mount" starts one when none runs, and it ends a minute after its last mount. One that is started by hand stays. It
runs as two processes: the first keeps the mounts open, so that they outlive the second, which serves them.
SIGTERM, SIGINT and SIGHUP unmount everything and end it.`;

export function daemonCommand(): Command {
  const command = new Command('daemon')
    .summary('serve mounts, for "sluice mount"')
    .description('Serves the mounts of one cache directory, and an API on a unix socket: docs/daemon.md.')
    .option('--idle-exit <seconds>', 'end when there has been no mount for so long', parseSeconds)
    .option('--metrics <host:port>', 'answer Prometheus there, too, at /metrics', parseAddress)
    .option('--workers <n>', 'threads that serve all mounts', parseCount)
    .option('--log <file>', 'write events there instead of stderr; two files of 8 MiB at most')
    .addHelpText('after', examples);
  for (const add of [addCacheDirOption, addCacheBoundOptions, addSocketOption, addLogOptions]) add(command);
  return command.action(daemon);
}

/**
 * Chunks come and go as buffers outside the heap, which V8 is in no hurry to free, and malloc keeps what each thread
 * once had, and what is as large as anything that was freed before. Measured with the python image mounted and read as
 * a whole: 155 MB resident without the first two; with them 128, and with all three 107, at the same cost.
 */
const smallHeap = '--max-semi-space-size=1';
const fewArenas = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: String(128 * 1024) };

/** A holder's first further descriptor, in its daemon. */
const inheritedFd = 4;
const listenVariable = 'SLUICE_LISTEN_FD';

async function daemon(flags: DaemonFlags): Promise<void> {
  const [{ loadNative }, { HolderLink }] = await Promise.all([
    import('../native.ts'),
    import('../holder/holder-link.ts'),
  ]);
  const log = await openLog(flags);
  const native = loadNative();
  const socket = daemonSocketOf(flags);
  if (!HolderLink.isHeld) await prepareSocket(flags, socket);
  if (native === undefined || HolderLink.isHeld) return await serve(flags, socket, log);
  process.exitCode = await hold(native, log);
}

async function prepareSocket({ cacheDir }: DaemonFlags, socket: string): Promise<void> {
  const [{ runFolder }, { lockDaemon }] = await Promise.all([
    import('../control/socket-file.ts'),
    import('../daemon/daemon-lock.ts'),
  ]);
  runFolder(cacheDir);
  // Where systemd listens, whoever asks is answered by this process, later.
  if (systemdSocket() === undefined) await lockDaemon(socket);
}

/** @returns the daemon's exit status */
async function hold(native: Native, log: Log): Promise<number> {
  const { Holder } = await import('../holder/holder.ts');
  const listening = systemdSocket();
  if (listening !== undefined) process.env[listenVariable] = String(inheritedFd);
  Object.assign(process.env, fewArenas);
  const flags = process.execArgv.includes(smallHeap) ? process.execArgv : [...process.execArgv, smallHeap];
  return Holder.run({
    native,
    command: [process.execPath, ...flags, ...process.argv.slice(1)],
    inherited: listening === undefined ? [] : [listening],
    onEvent: (event, facts) => log[levels[event]](`holder:${event.replaceAll(' ', '-')}`, facts),
  });
}

const levels: Readonly<Record<HolderEvent, 'info' | 'warn' | 'error'>> = {
  'daemon started': 'info',
  'daemon died': 'error',
  upgraded: 'info',
  'upgrade failed': 'warn',
  'mounts given up': 'error',
};

async function serve(flags: DaemonFlags, socket: string, log: Log): Promise<void> {
  const [{ runDaemon }, { socketFile }] = await Promise.all([
    import('../daemon/run-daemon.ts'),
    import('../control/socket-file.ts'),
  ]);
  const inherited = process.env[listenVariable];
  delete process.env[listenVariable];
  const fd = inherited === undefined ? systemdSocket() : Number(inherited);
  const listen: ListenPlace = fd === undefined ? socketFile(socket) : { fd };
  await runDaemon({
    cacheDirectory: flags.cacheDir,
    cache: cacheBounds(flags),
    listen,
    metrics: flags.metrics,
    workers: flags.workers,
    log,
    idleMs: flags.idleExit === undefined ? undefined : flags.idleExit * 1000,
  });
}

async function openLog({ log: file, logFormat: format, logLevel: level }: DaemonFlags): Promise<Log> {
  const [{ Log }, { LogFile }, { DescriptorSink }] = await Promise.all([
    import('../log/log.ts'),
    import('../log/log-file.ts'),
    import('../log/descriptor-sink.ts'),
  ]);
  return new Log({ sink: file === undefined ? DescriptorSink.open(2) : LogFile.open(file), format, level });
}

/** The socket that systemd listens on for this process. Source: sd_listen_fds(3). */
function systemdSocket(): number | undefined {
  const { LISTEN_PID, LISTEN_FDS } = process.env;
  const firstFd = 3;
  return LISTEN_PID === String(process.pid) && LISTEN_FDS === '1' ? firstFd : undefined;
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text !== '' && seconds >= 0 && seconds <= 2 ** 31 / 1000) return seconds;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use "${text}": want seconds`);
}

function parseAddress(text: string): { host: string; port: number } {
  const [, ipv6, name, digits] = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+)):(\d{1,5})$/i.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = Number(digits);
  if (host !== undefined && port < 65_536) return { host, port };
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot listen on "${text}": want HOST:PORT`);
}
