import type { BenchResult, Sample } from '../../../src/startup/result.ts';

const lanes = ['sluice-lazy', 'sluice-traced', 'estargz', 'containerd', 'floor'];
const typicalMs: Readonly<Record<string, number>> = {
  'sluice-lazy': 1500,
  'sluice-traced': 900,
  estargz: 1900,
  containerd: 6900,
  floor: 600,
};
const typicalBytes: Readonly<Record<string, number>> = {
  'sluice-lazy': 9e6,
  'sluice-traced': 5e6,
  estargz: 9.5e6,
  containerd: 58.9e6,
  floor: 4.3e6,
};

/** Made-up samples of some lanes, each a little slower than the one before. */
export function sampleResult(changes: Partial<BenchResult> = {}): BenchResult {
  const samples = lanes.flatMap((lane, l) => Array.from({ length: 5 }, (_, i) => sample(lane, l * 5 + i, i)));
  return {
    version: 1,
    when: '2026-01-02T03:04:05Z',
    machine: { cpu: 'a processor', cores: 2, memoryBytes: 2 ** 34, kernel: '6.12', node: 'v20', sluice: '0.1.0' },
    samplesPerLane: 5,
    seed: 7,
    pageCache: 'dropped',
    links: [{ name: '100mbit-20ms', kind: 'wire', megabitsPerSecond: 100, roundTripMs: 20 }],
    workloads: [
      { name: 'python', image: 'oci:images:python', ready: { kind: 'exit', status: 0 }, compressedBytes: 58.9e6 },
    ],
    lanes,
    skipped: [{ lane: 'nydus', reason: 'nydusd is not installed' }],
    samples,
    ...changes,
  };
}

function sample(lane: string, order: number, i: number): Sample {
  const readyMs = (typicalMs[lane] ?? 0) + i * 40;
  const bytes = typicalBytes[lane] ?? 0;
  const steps = 20;
  return {
    workload: 'python',
    link: '100mbit-20ms',
    lane,
    order,
    readyMs,
    firstExecMs: readyMs * 0.8,
    bytes,
    requests: 5 + i,
    cpuMs: 300,
    timeline: Array.from({ length: steps }, (_, k) => [(readyMs * k) / steps, (bytes * k) / steps] as const),
    ...(lane.startsWith('sluice')
      ? {
          chunks: {
            counts: [400, 90],
            arrivals: Array.from(
              { length: 120 },
              (_, k) => [(readyMs * k) / 120, k % 7 === 0 ? 1 : 0, (k * 13) % 390] as const,
            ),
          },
        }
      : {}),
  };
}
