import { setTimeout as sleep } from 'node:timers/promises';
import { SluiceError } from '../errors.ts';
import type { RetryPolicy } from './registry-options.ts';

/** Exponential, and between half and all of it, so that clients that failed together do not come back together. */
function backoffMs(policy: RetryPolicy, attempt: number): number {
  return Math.min(policy.maximumMs, policy.baseMs * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/**
 * How long to wait before trying again.
 *
 * @param attempt - how many tries failed before this one, from 0
 * @returns `undefined` when there is to be no other try
 */
export function retryDelayMs(
  error: unknown,
  policy: RetryPolicy,
  attempt: number,
  elapsedMs: number,
): number | undefined {
  if (!(error instanceof SluiceError) || !error.retryable || attempt + 1 >= policy.attempts) return undefined;
  // A host name nobody knows is most likely a typing error, and a range refused here is refused again:
  // both may be tried elsewhere, not in the same place.
  if (error.facts.reason === 'ENOTFOUND' || error.facts.status === 416) return undefined;
  const asked = error.facts.retryAfterMs;
  const delay = typeof asked === 'number' ? asked : backoffMs(policy, attempt);
  return elapsedMs + delay > policy.deadlineMs ? undefined : delay;
}

/** Runs `attempt` until it succeeds, its error is not retryable, or the policy is used up. */
export async function retrying<T>(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  for (let failed = 0; ; failed++) {
    try {
      return await attempt();
    } catch (error) {
      const delay = retryDelayMs(error, policy, failed, performance.now() - start);
      if (delay === undefined) throw error;
      await sleep(delay, undefined, signal ? { signal } : {});
    }
  }
}
