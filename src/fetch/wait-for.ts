import { setMaxListeners } from 'node:events';

/**
 * Waits for `result` as long as `signal` lets it. What happens to the result later is the business of others who wait.
 * @throws the signal's reason once it is aborted
 */
export async function waitFor<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return result;
  signal.throwIfAborted();
  // One signal ends many waits: all chunks of one read, all that is read ahead. Each leaves when it is over.
  setMaxListeners(0, signal);
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => reject(signal.reason);
    signal.addEventListener('abort', leave, { once: true });
    result.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });
}
