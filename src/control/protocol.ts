import type { CacheState } from '../cache/chunk-cache.ts';
import type { FailurePolicy } from '../fetch/failure-policy.ts';
import type { FillOptions } from '../mount/fill.ts';
import type { MountState } from '../mount/mount-state.ts';
import type { Digest } from '../oci/digest.ts';
import type { Platform } from '../oci/image.ts';
import type { PackedError } from '../packed-error.ts';
import type { RegistryOptions } from '../registry/registry-options.ts';

/**
 * HTTP and JSON over a unix socket; docs/daemon.md has it for people.
 *
 * Every process that serves mounts:
 *
 *     GET    /v1/mounts             → MountList
 *     GET    /v1/mounts/ID          → MountStatus
 *     POST   /v1/mounts/ID/trace    StartTrace → TraceStarted, StopTrace → TraceStopped
 *     POST   /v1/mounts/ID/fill     FillRequest → MountStatus
 *
 * A daemon besides:
 *
 *     GET    /v1/daemon             → DaemonStatus
 *     POST   /v1/mounts             MountRequest → MountStatus, 201
 *     DELETE /v1/mounts/ID          UnmountRequest → {}
 *     POST   /v1/upgrade            UpgradeRequest → Upgraded
 *     GET    /metrics               → text for Prometheus
 *
 * Any failure is a status from 400 up with a Failure as its body.
 */
export const mountsPath = '/v1/mounts';
export const daemonPath = '/v1/daemon';
export const upgradePath = '/v1/upgrade';
export const metricsPath = '/metrics';

/** What is to be mounted, and how. */
export interface MountRequest {
  /** As skopeo names it, its path absolute. */
  readonly image: string;
  /** Absolute. */
  readonly mountPoint: string;
  readonly driver: 'fuse' | 'libfuse';
  readonly platform?: Platform | undefined;
  /** As for serveImage(). */
  readonly profile?: string | false | undefined;
  readonly prefetch: boolean;
  readonly trace: boolean;
  readonly failure: FailurePolicy;
  /** Eager: the answer comes when all of the image is local. */
  readonly fill?: FillOptions | undefined;
  /** How the image's registry is reached. */
  readonly registry: RegistryOptions;
}

/** A mount that a process serves. */
export interface MountStatus {
  /** Within its process. */
  readonly id: number;
  /** Canonical reference of the image. */
  readonly image: string;
  /** Of its manifest. */
  readonly manifest: Digest;
  /** Merkle root of its bootstrap. */
  readonly root: Digest;
  readonly mountPoint: string;
  readonly isRecording: boolean;
  readonly state: MountState;
}

export interface MountList {
  readonly pid: number;
  readonly mounts: readonly MountStatus[];
}

export interface UnmountRequest {
  readonly lazy?: boolean | undefined;
  readonly abort?: boolean | undefined;
}

export interface FillRequest {
  readonly action: 'start' | 'pause' | 'resume';
  /** Compressed; for `start`. Default: as fast as it goes. */
  readonly bytesPerSecond?: number | undefined;
}

/** What is known of a daemon. */
export interface DaemonStatus {
  readonly pid: number;
  readonly version: string;
  /** ISO 8601. */
  readonly started: string;
  readonly cacheDirectory: string;
  /** Of its namespace of mounts: mounts are made there. */
  readonly mountNamespace: string;
  /** Why it does without the addon; undefined when it has it. */
  readonly portable: string | undefined;
  /** Whether its mounts outlive it. */
  readonly isHeld: boolean;
  readonly cache: CacheState;
  readonly mounts: number;
}

export interface UpgradeRequest {
  /** What to start as the new daemon, with the arguments of the old one: Node, and the script. Default: as the old one. */
  readonly program?: readonly [node: string, script: string] | undefined;
}

export interface StartTrace {
  readonly action: 'start';
}

export interface TraceStarted {
  /** False when the kernel goes on to read ahead. */
  readonly pageExact: boolean;
}

export interface StopTrace {
  readonly action: 'stop';
  /** What the profile is to be called. */
  readonly profile: string;
}

export interface TraceStopped {
  /** A profile document: src/profile/document.ts. */
  readonly profile: unknown;
  /** How many reads are not in it, because there were too many. */
  readonly lost: number;
}

export interface Failure {
  readonly error: PackedError;
}
