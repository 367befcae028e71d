/** A signal that is aborted by the first SIGINT or SIGTERM; the second one kills as usual. */
export function cancelOnSignals(): AbortSignal {
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => abort.abort());
  return abort.signal;
}
