import type { Upgraded } from '../holder/holder-link.ts';
import { call, isRefusal } from './exchange.ts';
import {
  type DaemonStatus,
  daemonPath,
  type MountRequest,
  type MountStatus,
  mountsPath,
  type UpgradeRequest,
  upgradePath,
} from './protocol.ts';

/**
 * A daemon, by its socket. Calls throw what the daemon threw, and FuseError SLUICE_CONTROL_UNAVAILABLE when nobody
 * listens there.
 */
export class DaemonClient {
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
  }

  /** @returns undefined when nobody listens now */
  async status(): Promise<DaemonStatus | undefined> {
    try {
      return (await call(this.socket, 'GET', daemonPath)) as DaemonStatus;
    } catch (error) {
      if (isRefusal(error)) return undefined;
      throw error;
    }
  }

  /** Returns when the mount answers; with an eager fill when all of the image is local. */
  async mount(body: MountRequest): Promise<MountStatus> {
    const timeoutMs = Number.POSITIVE_INFINITY;
    return (await call(this.socket, 'POST', mountsPath, { body, timeoutMs })) as MountStatus;
  }

  /** Has the daemon replaced; returns when the new one serves. */
  async upgrade(body: UpgradeRequest): Promise<Upgraded> {
    const timeoutMs = Number.POSITIVE_INFINITY;
    return (await call(this.socket, 'POST', upgradePath, { body, timeoutMs })) as Upgraded;
  }
}
