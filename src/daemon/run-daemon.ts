import { ChunkCache, type ChunkCacheOptions } from '../cache/chunk-cache.ts';
import { JsonServer, type ListenPlace } from '../control/json-server.ts';
import type { DaemonStatus } from '../control/protocol.ts';
import { mountNamespace } from '../control/socket-file.ts';
import { FetchScheduler } from '../fetch/scheduler.ts';
import { HolderLink } from '../holder/holder-link.ts';
import type { Log } from '../log/log.ts';
import { subscribeLog } from '../log/subscribe-log.ts';
import { Metrics } from '../metrics/metrics.ts';
import { ContentPool } from '../mount/image-content.ts';
import { MountWorkers } from '../mount/mount-workers.ts';
import { loadNative, nativeMissingReason } from '../native.ts';
import { version } from '../version.ts';
import { loadZstd } from '../zstd/codec.ts';
import { Daemon } from './daemon.ts';
import { type ApiParts, daemonRoutes, metricsRoute } from './daemon-routes.ts';
import type { SharedParts } from './serve-request.ts';

export interface RunDaemonOptions {
  readonly cacheDirectory: string;
  readonly cache: ChunkCacheOptions;
  readonly listen: ListenPlace;
  /** Where Prometheus may ask besides: `/metrics`, and nothing else. */
  readonly metrics?: { readonly host: string; readonly port: number } | undefined;
  /** Threads that serve mounts. */
  readonly workers?: number | undefined;
  readonly log: Log;
  readonly idleMs?: number | undefined;
}

/**
 * Runs a daemon in this process until it is stopped, idle, or replaced. A process that a holder started serves what that
 * has kept. SIGTERM, SIGINT and SIGHUP unmount and end it; a second one does not wait for open files.
 */
export async function runDaemon(options: RunDaemonOptions): Promise<void> {
  const { log } = options;
  const workers = new MountWorkers(options.workers);
  const cache = ChunkCache.open(options.cacheDirectory, options.cache);
  const unsubscribeLog = subscribeLog(log);
  const metrics = Metrics.subscribe();
  const parts: SharedParts = {
    cache,
    workers,
    contents: new ContentPool(),
    scheduler: new FetchScheduler(),
    // The log hears of it by its channel.
    onFailure: () => undefined,
  };
  const daemon = new Daemon({ parts, log, idleMs: options.idleMs });
  const servers: JsonServer[] = [];
  const close = (): void => {
    for (const server of servers.splice(0)) server.close();
  };
  try {
    const link = await serve(options, { daemon, parts, metrics }, servers);
    const end = stopOnSignals(daemon);
    log.info('daemon:ready', { pid: process.pid, version: version(), held: link !== undefined });
    // The first miss needs it; nobody waits for it now.
    void loadZstd();
    await daemon.ended;
    end();
    log.info('daemon:ended', { pid: process.pid });
  } finally {
    close();
    await workers.close();
    unsubscribeLog();
    metrics.close();
    cache.close();
    if (process.connected) process.disconnect();
  }
}

/** Listens, once the mounts of a holder, if there is one, are served. */
async function serve(
  options: RunDaemonOptions,
  known: Pick<ApiParts, 'daemon' | 'parts' | 'metrics'>,
  servers: JsonServer[],
): Promise<HolderLink | undefined> {
  const { log } = options;
  const { daemon } = known;
  let link: HolderLink | undefined;
  const replace = async (...args: Parameters<HolderLink['upgrade']>) => {
    if (link === undefined) throw new Error('unreachable: only offered with a holder');
    const { pid, stallMs } = await link.upgrade(...args);
    // The answer is on its way first.
    setImmediate(() => void daemon.finish());
    return { pid, stallMs };
  };
  const api: ApiParts = {
    ...known,
    status: () => statusOf(options, known, link !== undefined),
    upgrade: () => (link === undefined ? undefined : replace),
  };
  const listen = async (): Promise<void> => {
    servers.push(await JsonServer.listen(options.listen, daemonRoutes(api)));
    if (options.metrics !== undefined) servers.push(await JsonServer.listen(options.metrics, [metricsRoute(api)]));
  };
  const native = loadNative();
  if (native === undefined) log.warn('daemon:portable', { reason: nativeMissingReason() });
  if (native === undefined || !HolderLink.isHeld) {
    await listen();
    return undefined;
  }
  const { prepare, serve: adopt, release } = daemon.handOver;
  await new Promise<void>((resolve, reject) => {
    link = HolderLink.connect(
      native,
      {
        prepare,
        serve: async (mounts) => {
          await adopt(mounts);
          await listen();
          resolve();
        },
        release: async () => {
          for (const server of servers.splice(0)) server.close();
          await release();
        },
        lost: () => {
          if (daemon.isEnding) return;
          link = undefined;
          daemon.keeper = undefined;
          log.warn('daemon:holder-lost', { pid: process.pid });
          // What was to take over has nothing to take.
          reject(new Error('Cannot serve: the holder is gone'));
        },
      },
      (error) => {
        log.error('daemon:hand-over-failed', { error });
        reject(error);
        void daemon.finish();
      },
    );
    daemon.keeper = link;
  });
  return link;
}

const started = new Date(performance.timeOrigin).toISOString();

function statusOf(
  { cacheDirectory }: RunDaemonOptions,
  { daemon, parts }: Pick<ApiParts, 'daemon' | 'parts'>,
  isHeld: boolean,
): DaemonStatus {
  return {
    pid: process.pid,
    version: version(),
    started,
    cacheDirectory,
    mountNamespace: mountNamespace(),
    portable: nativeMissingReason(),
    isHeld,
    cache: parts.cache.state(),
    mounts: daemon.mounts.size,
  };
}

/** A terminal, and systemd, send a signal to all processes of a group: the holder's comes right behind it, and is the same. */
const sameSignalMs = 200;

/** @returns ends it */
function stopOnSignals(daemon: Daemon): () => void {
  let first: number | undefined;
  const stop = (): void => {
    const now = performance.now();
    first ??= now;
    if (now === first) void daemon.stop();
    // What is out of the tree cannot be unmounted again: it ends with its last descriptor, the holder's too.
    else if (now - first > sameSignalMs) void daemon.finish();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  return () => {
    for (const signal of signals) process.off(signal, stop);
  };
}
