import type { BenchResult, Sample, WorkloadResult } from '../result.ts';

/** Median, least and greatest of some samples. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
}

/** All samples of one lane, for one workload over one link. Milliseconds, bytes. */
export interface Cell {
  readonly lane: string;
  readonly ready: Spread;
  readonly pullMs: number | undefined;
  readonly mountMs: number | undefined;
  readonly firstExecMs: number | undefined;
  readonly bytes: number;
  readonly requests: number;
  readonly cpuMs: number;
  /** The sample whose time to ready is the median: its timeline and chunks stand for the cell. */
  readonly typical: Sample;
  readonly count: number;
}

/** What belongs into one chart: every lane, for one workload over one link. */
export interface Group {
  readonly link: string;
  readonly workload: WorkloadResult;
  /** In the order of the result's lanes; a lane without a good sample is missing. */
  readonly cells: readonly Cell[];
  readonly failures: readonly Sample[];
}

/** Sorts samples into groups. Failed ones take no part in any number. Pure. */
export function summarise(result: BenchResult): Group[] {
  return result.links.flatMap((link) =>
    result.workloads.map((workload) => {
      const samples = result.samples.filter((one) => one.link === link.name && one.workload === workload.name);
      const good = samples.filter(({ error }) => error === undefined);
      return {
        link: link.name,
        workload,
        cells: result.lanes.flatMap((lane) => summariseLane(lane, good) ?? []),
        failures: samples.filter(({ error }) => error !== undefined),
      };
    }),
  );
}

function summariseLane(lane: string, all: readonly Sample[]): Cell | undefined {
  const samples = all.filter((one) => one.lane === lane).sort((a, b) => a.readyMs - b.readyMs);
  const typical = samples[Math.floor((samples.length - 1) / 2)];
  const [least, greatest] = [samples[0], samples.at(-1)];
  if (typical === undefined || least === undefined || greatest === undefined) return undefined;
  const middle = (value: (sample: Sample) => number | undefined): number | undefined =>
    median(samples.flatMap((sample) => value(sample) ?? []));
  return {
    lane,
    ready: { median: middle((one) => one.readyMs) ?? 0, least: least.readyMs, greatest: greatest.readyMs },
    pullMs: middle((one) => one.pullMs),
    mountMs: middle((one) => one.mountMs),
    firstExecMs: middle((one) => one.firstExecMs),
    bytes: middle((one) => one.bytes) ?? 0,
    requests: middle((one) => one.requests) ?? 0,
    cpuMs: middle((one) => one.cpuMs) ?? 0,
    typical,
    count: samples.length,
  };
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.ceil((sorted.length - 1) / 2)]];
  return low === undefined || high === undefined ? undefined : (low + high) / 2;
}
