/** What a mount does about a chunk that cannot be had. Whichever it is, the next read tries again: failures never stick. */
export type FailurePolicy =
  /** One try at every place that has it, then the error. */
  | { readonly kind: 'eio' }
  /** Tried again for so long, then the error. */
  | { readonly kind: 'wait'; readonly milliseconds: number }
  /** Nothing is asked for: what is not local is an error at once. */
  | { readonly kind: 'offline' };

/** Longer than a registry's restart, shorter than a person's patience. */
export const defaultFailurePolicy: FailurePolicy = { kind: 'wait', milliseconds: 30_000 };
