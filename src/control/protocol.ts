import type { Digest } from '../oci/digest.ts';
import type { PackedError } from '../packed-error.ts';

/**
 * HTTP and JSON over a unix socket; docs/profiles.md has it for people.
 *
 *     GET  /v1/mounts             → MountList
 *     POST /v1/mounts/ID/trace    StartTrace → TraceStarted, StopTrace → TraceStopped
 *
 * Any failure is a status from 400 up with a Failure as its body.
 */
export const mountsPath = '/v1/mounts';

/** A mount that a process serves. */
export interface MountStatus {
  /** Within its process. */
  readonly id: number;
  /** Canonical reference of the image. */
  readonly image: string;
  /** Merkle root of its bootstrap. */
  readonly root: Digest;
  readonly mountPoint: string;
  readonly isRecording: boolean;
}

export interface MountList {
  readonly pid: number;
  readonly mounts: readonly MountStatus[];
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
