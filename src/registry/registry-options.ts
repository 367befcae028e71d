import type { Credentials } from './credentials.ts';

/** How hard to try. All times are milliseconds. */
export interface RetryPolicy {
  /** Tries in all; 1 never tries again. */
  readonly attempts: number;
  /** Wait before the second try; doubles from try to try. */
  readonly baseMs: number;
  readonly maximumMs: number;
  /** No try starts later than this after the first. */
  readonly deadlineMs: number;
}

export const defaultRetryPolicy: RetryPolicy = { attempts: 6, baseMs: 200, maximumMs: 5_000, deadlineMs: 60_000 };

export interface RegistryOptions {
  /** Speak http. Unset: for loopback hosts, unless there is a `ca`. */
  readonly plainHttp?: boolean;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
  /** Unset: looked up in docker's and podman's files. `anonymous`: none. */
  readonly credentials?: Credentials | 'anonymous';
  /** Most connections to one host; more requests wait. */
  readonly connections?: number;
  /** A response that is silent for longer has failed. */
  readonly stallMs?: number;
  readonly retry?: RetryPolicy;
}
