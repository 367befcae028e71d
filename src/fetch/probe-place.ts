import type { ChunkBatch, ChunkResult } from './fetch-store.ts';
import type { BatchPlace } from './range-request.ts';
import { StallWatch } from './stall-watch.ts';

/**
 * Asks a place that failed for a chunk that is on its way from another one, to see whether it works again.
 * @returns what is wrong with it; undefined when it is back
 */
export async function probePlace(
  { link, source }: BatchPlace,
  batch: ChunkBatch,
  signal: AbortSignal,
): Promise<unknown> {
  const controller = new AbortController();
  const leave = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  const watch = new StallWatch(controller, link.name, false);
  let error: unknown;
  const delivered = (_: number, result: ChunkResult): void => {
    error = 'error' in result ? result.error : undefined;
  };
  try {
    await source.readBatch(batch, { delivered, received: () => watch.renew() }, controller.signal);
  } catch (thrown) {
    error = controller.signal.aborted ? controller.signal.reason : thrown;
  } finally {
    watch.end();
    signal.removeEventListener('abort', leave);
  }
  return error;
}
