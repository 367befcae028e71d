import type { Lane, LaneContainer, LaneContext } from './lane.ts';
import { Probe, type ProbeOptions, type Readings } from './probes/probe.ts';
import { whenReady } from './readiness.ts';
import type { Sample } from './result.ts';

/** A sample without its place in the benchmark. */
export type Measured = Omit<Sample, 'workload' | 'link' | 'lane' | 'order'>;

/**
 * Starts a container once, measures until it is ready, and removes it. The lane has been wiped before.
 * @param context - its signal bounds the start; a start that fails is a sample with an error
 */
export async function takeSample(lane: Lane, context: LaneContext, options: ProbeOptions): Promise<Measured> {
  const probe = new Probe(options);
  const starting = lane.start(context);
  let readings: Readings | undefined;
  let error: string | undefined;
  try {
    const container = await untilAborted(starting, context.signal);
    await whenReady(container, context.workload.ready, context.signal);
    readings = probe.stop();
  } catch (failure) {
    readings ??= probe.stop();
    error = failure instanceof Error ? failure.message : String(failure);
  }
  const container = await starting.catch(() => undefined);
  try {
    await container?.stop();
  } catch (failure) {
    error ??= `it could not be stopped: ${failure instanceof Error ? failure.message : String(failure)}`;
  }
  return measured(readings, container, await container?.chunks?.(), error);
}

function measured(
  { firstExecMs, ...readings }: Readings,
  container: LaneContainer | undefined,
  chunks: Sample['chunks'],
  error: string | undefined,
): Measured {
  const pullMs = container?.pulledMs();
  const mountMs = container?.mountedMs();
  return {
    ...(error === undefined ? {} : { error }),
    ...(pullMs === undefined ? {} : { pullMs }),
    ...(mountMs === undefined ? {} : { mountMs }),
    ...(firstExecMs === undefined ? {} : { firstExecMs }),
    ...readings,
    ...(chunks === undefined ? {} : { chunks }),
  };
}

/** A lane that does not heed its signal in time is waited for afterwards, when nothing is measured. */
function untilAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const fail = (): void => reject(signal.reason);
    signal.addEventListener('abort', fail, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', fail));
  });
}
