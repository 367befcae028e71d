import { type Route, TextAnswer } from '../control/json-server.ts';
import { mountRoutes } from '../control/mount-table.ts';
import {
  type DaemonStatus,
  daemonPath,
  type MountStatus,
  metricsPath,
  mountsPath,
  upgradePath,
} from '../control/protocol.ts';
import { FuseError, UsageError } from '../errors.ts';
import type { Upgraded } from '../holder/holder-link.ts';
import type { DaemonCommand } from '../holder/protocol.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { MetricsSource } from '../metrics/source.ts';
import type { Daemon } from './daemon.ts';
import { parseMountRequest } from './parse-mount-request.ts';
import type { SharedParts } from './serve-request.ts';

/** What a daemon's API is made of. */
export interface ApiParts {
  readonly daemon: Daemon;
  readonly parts: SharedParts;
  readonly metrics: Metrics;
  status(): DaemonStatus;
  /** Undefined: nobody would replace this daemon. */
  upgrade(): ((command: DaemonCommand | undefined) => Promise<Upgraded>) | undefined;
}

export function daemonRoutes(api: ApiParts): Route[] {
  const { daemon } = api;
  return [
    ...mountRoutes(daemon.mounts),
    { method: 'GET', path: new RegExp(`^${daemonPath}$`), answer: () => api.status() },
    {
      method: 'POST',
      path: new RegExp(`^${mountsPath}$`),
      status: 201,
      answer: async (_, body): Promise<MountStatus> =>
        daemon.mounts.status(await daemon.mount(parseMountRequest(body))),
    },
    {
      method: 'DELETE',
      path: new RegExp(`^${mountsPath}/([0-9]{1,9})$`),
      answer: async ([id], { lazy, abort }) => {
        await daemon.unmount(Number(id), { lazy: lazy === true, abort: abort === true });
        return {};
      },
    },
    { method: 'POST', path: new RegExp(`^${upgradePath}$`), answer: (_, { program }) => upgrade(api, program) },
    metricsRoute(api),
  ];
}

/** Also what a listener for Prometheus alone offers. */
export function metricsRoute({ daemon, metrics, parts }: ApiParts): Route {
  const source: MetricsSource = {
    mounts: () =>
      daemon.mounts.values().map(({ content, mountPoint, state, reads }) => ({
        image: content.image.reference,
        mountPoint,
        state: state(),
        latency: reads && { counts: reads.snapshot().buckets, seconds: undefined },
      })),
    cache: () => parts.cache.state(),
    queued: () => parts.scheduler.load.waiting,
  };
  return {
    method: 'GET',
    path: new RegExp(`^${metricsPath}$`),
    answer: () => new TextAnswer('text/plain; version=0.0.4; charset=utf-8', metrics.text(source)),
  };
}

function upgrade(api: ApiParts, program: unknown): Promise<Upgraded> {
  const isProgram = Array.isArray(program) && program.length === 2 && program.every((part) => typeof part === 'string');
  if (program !== undefined && !isProgram)
    throw new UsageError(
      'SLUICE_OPTION_INVALID',
      'Cannot upgrade: want "program" to be the paths of Node and of a script',
    );
  const replace = api.upgrade();
  if (replace !== undefined) return replace(isProgram ? commandOf(program as [string, string]) : undefined);
  throw new FuseError(
    'SLUICE_UPGRADE_FAILED',
    'Cannot replace the daemon: it has no holder, which takes the native addon; unmount, and start another one',
  );
}

/** This process's own command, by another program. */
function commandOf([node, script]: readonly [string, string]): DaemonCommand {
  return [node, ...process.execArgv, script, ...process.argv.slice(2)];
}
