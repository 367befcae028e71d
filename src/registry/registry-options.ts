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

/** Whoever has another answer does not wait for this one: one try at each place. */
export const singleTry: RetryPolicy = { attempts: 1, baseMs: 0, maximumMs: 0, deadlineMs: 0 };

/** The names and values a process is started with. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How registries are reached. Plain data: it can be sent to another process as JSON. */
export interface RegistryOptions {
  /** Speak http. Unset: for loopback hosts, unless there is a `ca`. */
  readonly plainHttp?: boolean;
  /** PEM certificates to trust instead of the system's. */
  readonly ca?: string;
  /** Unset: looked up, as docs/registries.md says. `anonymous`: none, for mirrors neither. */
  readonly credentials?: Credentials | 'anonymous';
  /** A program and its arguments that says who to be, as docker's credential helpers do. */
  readonly credentialsCommand?: readonly string[];
  /** URLs, or hosts, that are asked before the registry. */
  readonly mirrors?: readonly string[];
  /** A folder of `HOST/hosts.toml`. Unset: containerd's, where there is one. `''`: none. */
  readonly hostsDirectory?: string;
  /** Speak HTTP/2 to those who can. */
  readonly http2?: boolean;
  /** Where to find HOME, credential files and helpers, and proxies. Unset: this process's. */
  readonly environment?: Environment;
  /** Most connections to one host; more requests wait. */
  readonly connections?: number;
  /** A response that is silent for longer has failed. */
  readonly stallMs?: number;
  readonly retry?: RetryPolicy;
}
