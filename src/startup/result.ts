import type { Readiness } from './workload.ts';

/** A link between registry and client; `none` is loopback. */
export interface LinkResult {
  /** `none`, `100mbit-20ms`. */
  readonly name: string;
  /**
   * What stands between the two: nothing, two namespaces with a wire of user space between them (packets are delayed and
   * queued, as on a real link), or a proxy (bytes are: TCP's own start is not seen).
   */
  readonly kind: 'loopback' | 'wire' | 'proxy';
  /** Undefined: not limited. */
  readonly megabitsPerSecond?: number;
  readonly roundTripMs?: number;
}

export interface WorkloadResult {
  readonly name: string;
  readonly image: string;
  readonly ready: Readiness;
  /** Bytes of the image's layers as a plain pull fetches them. */
  readonly compressedBytes: number;
}

/** One start of one container. Milliseconds count from the start of the lane's first command. */
export interface Sample {
  readonly workload: string;
  readonly link: string;
  readonly lane: string;
  /** Place in the randomised order, from 0. */
  readonly order: number;
  /** Why it never got ready; then the numbers mean nothing. */
  readonly error?: string;
  /** Undefined where the lane does not tell these apart. */
  readonly pullMs?: number;
  readonly mountMs?: number;
  /** When the container's own program began to run. */
  readonly firstExecMs?: number;
  readonly readyMs: number;
  /** Received by the client up to ready, headers of all layers included; of a proxy, those of HTTP and TLS alone. */
  readonly bytes: number;
  /** That the registry has got up to ready, answered or not. */
  readonly requests: number;
  /** Of the whole machine but registry and link, up to ready. */
  readonly cpuMs: number;
  /** [ms, bytes received until then], ascending. */
  readonly timeline: readonly (readonly [number, number])[];
  /** For a sluice lane: when which chunk came, and from where. */
  readonly chunks?: ChunkTimes;
}

/** When the chunks of an image were first read. */
export interface ChunkTimes {
  /** Chunks of each device of the image. */
  readonly counts: readonly number[];
  /** [ms, device, chunk], in order of arrival. */
  readonly arrivals: readonly (readonly [number, number, number])[];
}

/** What a run of `sluice bench` writes, and all that its table and its report are made from. */
export interface BenchResult {
  readonly version: 1;
  /** ISO 8601. */
  readonly when: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly kernel: string;
    readonly node: string;
    readonly sluice: string;
  };
  readonly samplesPerLane: number;
  readonly seed: number;
  /** Whether each sample found an empty page cache: without root it cannot be emptied, and nothing is quite cold. */
  readonly pageCache: 'dropped' | 'kept';
  readonly links: readonly LinkResult[];
  readonly workloads: readonly WorkloadResult[];
  readonly lanes: readonly string[];
  /** Lanes this machine cannot run. */
  readonly skipped: readonly { readonly lane: string; readonly reason: string }[];
  readonly samples: readonly Sample[];
}
