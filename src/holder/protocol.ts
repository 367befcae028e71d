/**
 * What the holder and its daemon say to each other: JSON over Node's channel between parent and child. The descriptors go
 * over a socket of their own, and always before the message about them: whoever gets the message need not wait for them.
 *
 * A holder lives through upgrades, so it may be older than its daemon: what is added here must be optional.
 */

/** The inherited end of the socket that carries descriptors, in the daemon. */
export const descriptorFd = 3;

/** Tells a daemon that it has a holder. */
export const holderVariable = 'SLUICE_HOLDER';

/** A mount that the holder keeps. The record is the daemon's: what a successor needs to serve the mount. */
export interface KeptMount {
  readonly id: number;
  readonly record: unknown;
}

/** What to start as a daemon: a program and its arguments. */
export type DaemonCommand = readonly [program: string, ...args: string[]];

export type ToHolder =
  /** One descriptor was sent. */
  | { readonly kind: 'keep'; readonly mount: KeptMount }
  | { readonly kind: 'drop'; readonly id: number }
  /** After `prepare`: has read whatever it needs to serve the mounts. */
  | { readonly kind: 'prepared' }
  /** After `serve`: the mounts answer. */
  | { readonly kind: 'ready' }
  /** After `release`: touches no mount any more. */
  | { readonly kind: 'released' }
  /** @param command - default: the one that runs */
  | { readonly kind: 'upgrade'; readonly command?: DaemonCommand | undefined };

export type ToDaemon =
  /** These mounts will be yours; they are another process's still. */
  | { readonly kind: 'prepare'; readonly mounts: readonly KeptMount[] }
  /** As many descriptors were sent, in this order. */
  | { readonly kind: 'serve'; readonly mounts: readonly KeptMount[] }
  | { readonly kind: 'release' }
  /** What has become of an upgrade: who serves now, or why nothing has changed. */
  | { readonly kind: 'upgraded'; readonly pid: number; readonly stallMs: number }
  | { readonly kind: 'upgrade-failed'; readonly why: string };
