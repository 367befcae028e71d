import type { ProbeOptions } from './probes/probe.ts';
import type { Sample, WorkloadResult } from './result.ts';
import type { Workload } from './workload.ts';

/** A process that is run as `sluice bench` with this variable in its environment is one end of a link. */
export const partVariable = 'SLUICE_BENCH_PART';
export type BenchPart = 'client' | 'registry';

export function partEnvironment(part: BenchPart): NodeJS.ProcessEnv {
  return { ...process.env, [partVariable]: part };
}

/** What the process at the client's end of a link is to do: one line of JSON on its standard input. */
export interface ClientPlan {
  readonly link: string;
  /** `HOST:PORT`. */
  readonly registry: string;
  /** What that registry has on its disk. */
  readonly registryFolder: string;
  readonly probe: ProbeOptions;
  /** Where the lanes have their folders. */
  readonly directory: string;
  readonly workloads: readonly Workload[];
  readonly lanes: readonly string[];
  readonly samples: number;
  readonly seed: number;
  readonly dropCaches: boolean;
  /** Words that run sluice. */
  readonly command: readonly string[];
}

/** The line that follows the plan when the link has its speed. */
export const go = 'go';

/** What that process says, a line each. */
export type ClientMessage =
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'workload'; readonly workload: WorkloadResult }
  | { readonly kind: 'skipped'; readonly lane: string; readonly reason: string }
  /** What is not measured is done; waits for {@link go}. */
  | { readonly kind: 'prepared' }
  | { readonly kind: 'sample'; readonly sample: Sample }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'done' };
