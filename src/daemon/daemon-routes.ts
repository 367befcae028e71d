import { type Check, checkBody, type Fields, isBoolean, isListOf, isText } from '../control/check-body.ts';
import { type Route, TextAnswer } from '../control/json-server.ts';
import { mountRoutes } from '../control/mount-table.ts';
import {
  type DaemonStatus,
  daemonPath,
  type MountStatus,
  metricsPath,
  mountsPath,
  type UnmountRequest,
  type UpgradeRequest,
  upgradePath,
} from '../control/protocol.ts';
import { FuseError } from '../errors.ts';
import type { Upgraded } from '../holder/holder-link.ts';
import type { DaemonCommand } from '../holder/protocol.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { MetricsSource } from '../metrics/source.ts';
import { nativeMissingReason } from '../native.ts';
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

const unmountFields: Fields<UnmountRequest> = {
  lazy: [isBoolean, 'true or false', 'optional'],
  abort: [isBoolean, 'true or false', 'optional'],
};

const isCommand: Check = (value) => isListOf(isText)(value) && (value as readonly unknown[]).length === 2;

const upgradeFields: Fields<UpgradeRequest> = {
  program: [isCommand, 'the paths of Node and of a script', 'optional'],
};

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
      answer: async ([id], body) => {
        await daemon.unmount(Number(id), checkBody('unmount', unmountFields, body));
        return {};
      },
    },
    { method: 'POST', path: new RegExp(`^${upgradePath}$`), answer: (_, body) => upgrade(api, body) },
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

function upgrade(api: ApiParts, body: Readonly<Record<string, unknown>>): Promise<Upgraded> {
  const { program } = checkBody('upgrade', upgradeFields, body);
  const replace = api.upgrade();
  if (replace !== undefined) return replace(program && commandOf(program));
  throw new FuseError(
    'SLUICE_UPGRADE_FAILED',
    `Cannot replace the daemon: it has no holder (${nativeMissingReason() ?? 'that was killed'}); unmount, and start another one`,
  );
}

/** This process's own command, by another program. */
function commandOf([node, script]: readonly [string, string]): DaemonCommand {
  return [node, ...process.execArgv, script, ...process.argv.slice(2)];
}
