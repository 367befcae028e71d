import { SluiceError, UsageError } from '../errors.ts';

/** A signal that is aborted by the first SIGINT or SIGTERM; the second one kills as usual. */
export function cancelOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort(cancelled(name)));
  return abort.signal;
}

/**
 * For a command that leaves a mess when it is killed: a signal that is aborted by the first SIGINT, SIGTERM or SIGHUP;
 * later ones do nothing. Cleaning up must not take long.
 */
export function cleanUpOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => abort.abort(cancelled(name)));
  return abort.signal;
}

/** The cancellation a failure goes back to, if it does; else the failure itself. Node wraps the reason of an abort. */
export function causeOfAbort(error: unknown): unknown {
  const seen = new Set<unknown>();
  for (let cause = error; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    if (cause instanceof SluiceError && cause.code === 'SLUICE_CANCELLED') return cause;
    seen.add(cause);
  }
  return error;
}

function cancelled(name: string): UsageError {
  return new UsageError('SLUICE_CANCELLED', `Cancelled by ${name}`);
}
