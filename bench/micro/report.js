import Benchmark from 'benchmark';

/**
 * Runs cases one after the other and prints operations and megabytes a second: medians, because one interruption
 * spoils a mean.
 *
 * @param {string} title
 * @param {ReadonlyArray<{ name: string, bytes: number, run: () => unknown }>} cases - `bytes` that one run works on
 */
export function measure(title, cases) {
  console.log(`${title}, Node ${process.versions.node}`);
  for (const { name, bytes, run } of cases) {
    const benchmark = new Benchmark(name, run, { minSamples: 30, maxTime: 2 }).run();
    if (benchmark.error) throw benchmark.error;
    const seconds = median(benchmark.stats.sample);
    const perSecond = Math.round(1 / seconds).toLocaleString('en');
    const megabytes = Math.round(bytes / seconds / 1e6).toLocaleString('en');
    console.log(`  ${name.padEnd(40)} ${perSecond.padStart(12)} ops/s ${megabytes.padStart(8)} MB/s`);
  }
}

function median(sample) {
  const sorted = [...sample].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
