import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { UsageError } from '../errors.ts';
import { type BenchPart, partVariable } from '../startup/client-plan.ts';
import { laneNames } from '../startup/lanes.ts';
import { type LinkPlan, parseLink } from '../startup/link.ts';
import type { Sample } from '../startup/result.ts';
import { addJsonOption, parseCount } from './options.ts';
import { note, printResult } from './output.ts';
import { cleanUpOnSignals } from './signals.ts';

interface BenchFlags {
  readonly images?: string;
  readonly link?: readonly LinkPlan[];
  readonly lanes?: readonly string[];
  readonly samples: number;
  readonly seed?: number;
  readonly dropCaches: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

const examples = `
Lanes: ${laneNames.join(', ')}.

Examples:
  sluice bench --images oci:images python nginx
  sluice bench --images oci:images --link 100mbit,20ms --link 1gbit,1ms --out results python
  sluice bench --lanes sluice-lazy,containerd --samples 10 ./workload.json

A workload says which image is started, with what command, and when that counts as ready. Shipped ones name their images
by tag, which --images says the place of. Everything runs on this machine: a registry, the link, and a client that starts
from nothing each time. The page cache of the whole machine is dropped for every sample, and all but loopback links need
root for what they are to be: docs/startup-benchmark.md. The table goes to stdout; --out also writes startup.json, with
every sample, and startup.html.`;

export function benchCommand(): Command {
  const command = new Command('bench')
    .summary('measure how long containers take to be ready, against other tools')
    .description(
      'Starts containers over links of given speed, by sluice and by other tools, and measures the way to ready.',
    )
    .argument('[workload...]', 'names of shipped workloads, or JSON files (default: all that are shipped)')
    .option('--images <place>', 'where images lie that a workload names by tag: oci:DIR')
    .option('--link <link>', 'none, or rate and round trip: 100mbit,20ms; can be repeated (default: none)', collectLink)
    .option('--lanes <names>', 'ways to start, with commas between (default: all)', parseLanes)
    .option('--samples <n>', 'starts of each workload by each lane over each link', parseCount, 5)
    .option('--seed <n>', 'of the order of the samples (default: random)', parseSeed)
    .option('--no-drop-caches', 'leave the page cache as it is: then nothing is quite cold')
    .option('--out <dir>', 'write startup.json and startup.html there')
    .addHelpText('after', examples);
  return addJsonOption(command).action(bench);
}

async function bench(names: readonly string[], flags: BenchFlags): Promise<void> {
  const part = process.env[partVariable];
  delete process.env[partVariable];
  if (part !== undefined) return runPart(part as BenchPart, names);
  const [{ runBench }, { loadWorkloads }, { formatTable }, { writeReport }] = await Promise.all([
    import('../startup/bench.ts'),
    import('../startup/load-workloads.ts'),
    import('../startup/report/format-table.ts'),
    import('../startup/report/write-report.ts'),
  ]);
  const workloads = loadWorkloads(names, flags.images);
  const seed = flags.seed ?? Math.floor(Math.random() * 2 ** 32);
  note(`seed ${seed}`);
  const isRoot = process.getuid?.() === 0;
  if (flags.dropCaches && !isRoot) {
    note('NOT ROOT: the page cache is not dropped, so that nothing is quite cold; links are a proxy’s');
  }
  const result = await runBench({
    workloads,
    links: flags.link ?? [parseLink('none')],
    lanes: flags.lanes ?? laneNames,
    samples: flags.samples,
    seed,
    dropCaches: flags.dropCaches && isRoot,
    command: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
    report: note,
    onSample: (sample) => note(sampleText(sample)),
    signal: cleanUpOnSignals(),
  });
  if (flags.out !== undefined) {
    await mkdir(flags.out, { recursive: true });
    await writeFile(path.join(flags.out, 'startup.json'), `${JSON.stringify(result)}\n`);
    await writeFile(path.join(flags.out, 'startup.html'), writeReport(result));
  }
  printResult(flags.json, result, () => formatTable(result));
}

async function runPart(part: BenchPart, args: readonly string[]): Promise<void> {
  if (part === 'client') await (await import('../startup/client.ts')).runClient();
  else await (await import('../startup/embedded-registry.ts')).runEmbeddedRegistry(args[0] ?? '');
}

function sampleText({ workload, link, lane, error, readyMs, bytes, requests }: Sample): string {
  const where = `${workload}, ${link}, ${lane}:`;
  if (error !== undefined) return `${where} FAILED: ${error}`;
  return `${where} ready after ${(readyMs / 1000).toFixed(2)} s, ${(bytes / 1e6).toFixed(1)} MB, ${requests} requests`;
}

function collectLink(text: string, before: readonly LinkPlan[] = []): readonly LinkPlan[] {
  const link = parseLink(text);
  return before.some(({ name }) => name === link.name) ? before : [...before, link];
}

function parseLanes(text: string): readonly string[] {
  const names = [...new Set(text.split(','))];
  const unknown = names.find((name) => !laneNames.includes(name));
  if (unknown === undefined) return names;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use lane "${unknown}": want ${laneNames.join(', ')}`);
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (/^\d+$/.test(text) && seed < 2 ** 32) return seed;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use seed "${text}": want a whole number below 2^32`);
}
