let cancelled = false;

/** Whether a signal came: then every failure is its consequence. */
export function wasCancelled(): boolean {
  return cancelled;
}

/** A signal that is aborted by the first SIGINT or SIGTERM; the second one kills as usual. */
export function cancelOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => cancel(abort));
  return abort.signal;
}

/**
 * For commands that leave a mess when they are killed: a signal that is aborted by the first SIGINT, SIGTERM or SIGHUP;
 * later ones do nothing. Cleaning up must not take long.
 */
export function cleanUpOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => cancel(abort));
  return abort.signal;
}

function cancel(abort: AbortController): void {
  cancelled = true;
  abort.abort();
}
