import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { FuseError } from '../errors.ts';
import { version } from '../version.ts';
import { endProcess } from './child.ts';
import { type ClientMessage, type ClientPlan, go, partEnvironment } from './client-plan.ts';
import { clearFolder } from './lanes/clear-folder.ts';
import { type Link, type LinkPlan, openLink } from './link.ts';
import { type BenchRegistry, startBenchRegistry } from './registry.ts';
import type { BenchResult, LinkResult, Sample, WorkloadResult } from './result.ts';
import type { Workload } from './workload.ts';

export interface BenchOptions {
  readonly workloads: readonly Workload[];
  readonly links: readonly LinkPlan[];
  /** Of `laneNames`. */
  readonly lanes: readonly string[];
  /** Of each lane, workload and link. */
  readonly samples: number;
  /** Of the order; a whole number below 2^32. */
  readonly seed: number;
  /** Whether each sample finds the page cache empty; takes root. */
  readonly dropCaches: boolean;
  /** Words that run sluice: lanes do, and the processes at both ends of a link are run as `bench`. */
  readonly command: readonly string[];
  /** Told what happens, in words. */
  readonly report: (text: string) => void;
  /** Told of each sample. */
  readonly onSample: (sample: Sample) => void;
  readonly signal: AbortSignal;
}

/** A client that is told to stop has containers to end and mounts to take down, ms. */
const clientGraceMs = 60_000;

/** Everything of one run that grows. */
interface Collected {
  readonly links: LinkResult[];
  readonly workloads: Map<string, WorkloadResult>;
  readonly skipped: Map<string, { readonly lane: string; readonly reason: string }>;
  readonly samples: Sample[];
}

/**
 * Measures how long containers take to get ready, over each link in turn (docs/startup-benchmark.md). Nothing is left
 * behind, whatever happens.
 * @throws {FuseError} SLUICE_BENCH_FAILED
 */
export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const directory = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'sb-'));
  const collected: Collected = { links: [], workloads: new Map(), skipped: new Map(), samples: [] };
  try {
    for (const link of options.links) await measureLink(link, directory, options, collected);
  } finally {
    await clearFolder(directory);
  }
  return {
    version: 1,
    when: new Date().toISOString(),
    machine: machine(),
    samplesPerLane: options.samples,
    seed: options.seed,
    pageCache: options.dropCaches ? 'dropped' : 'kept',
    links: collected.links,
    workloads: [...collected.workloads.values()],
    lanes: options.lanes,
    skipped: [...collected.skipped.values()],
    samples: collected.samples,
  };
}

async function measureLink(
  plan: LinkPlan,
  directory: string,
  options: BenchOptions,
  collected: Collected,
): Promise<void> {
  options.signal.throwIfAborted();
  const link = await openLink(plan, directory);
  collected.links.push({
    name: plan.name,
    kind: link.kind,
    ...(plan.speed?.megabitsPerSecond ? { megabitsPerSecond: plan.speed.megabitsPerSecond } : {}),
    ...(plan.speed === undefined ? {} : { roundTripMs: plan.speed.roundTripMs }),
  });
  options.report(`link ${plan.name}: ${linkTexts[link.kind]}`);
  const registryFolder = path.join(directory, 'registry');
  let registry: BenchRegistry | undefined;
  try {
    registry = await startBenchRegistry(link, registryFolder, [...options.command, 'bench'], options.signal);
    const others = [registry.pid, ...(link.pid === undefined ? [] : [link.pid])];
    const { workloads, lanes, samples, seed, dropCaches, command } = options;
    const probe = { counter: link.counter, requestLog: registry.log, others };
    const place = { link: plan.name, registry: link.registryHost, registryFolder, directory, probe };
    await runClientProcess(
      link,
      { ...place, workloads, lanes, samples, seed, dropCaches, command },
      options,
      collected,
    );
  } finally {
    await registry?.close();
    await link.close();
  }
}

const linkTexts: Readonly<Record<Link['kind'], string>> = {
  loopback: 'registry and client on one loopback device',
  wire: 'registry and client in network namespaces, with a wire between them',
  proxy: 'a proxy between registry and client: delays and rate are right, TCP’s slow start is not seen',
};

/** Does the plan at the client's end of the link. */
async function runClientProcess(
  link: Link,
  plan: ClientPlan,
  options: BenchOptions,
  collected: Collected,
): Promise<void> {
  const [program, ...args] = link.client(...options.command, 'bench');
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: partEnvironment('client') });
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(plan)}\n`);
  const stop = (): void => void child.stdin.end();
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const message of messagesOf(child)) {
      if (message.kind === 'prepared') {
        await link.shape(true);
        child.stdin.write(`${go}\n`);
      } else collect(message, plan.link, options, collected);
    }
  } catch (error) {
    // That it could not go on then is no failure of its own.
    options.signal.throwIfAborted();
    throw error;
  } finally {
    options.signal.removeEventListener('abort', stop);
    child.stdin.end();
    await endProcess(child, 'SIGTERM', clientGraceMs);
  }
  options.signal.throwIfAborted();
}

/** @throws {FuseError} SLUICE_BENCH_FAILED when the client says that it failed, or ends without saying that it is done */
async function* messagesOf(child: ChildProcess): AsyncGenerator<ClientMessage> {
  let failure: string | undefined;
  let done = false;
  child.on('error', (error) => {
    failure = error.message;
  });
  if (child.stdout === null) throw new TypeError('a client without output');
  for await (const line of createInterface({ input: child.stdout })) {
    const message = JSON.parse(line) as ClientMessage;
    if (message.kind === 'failed') failure = message.message;
    else if (message.kind === 'done') done = true;
    else yield message;
  }
  if (!done) failure ??= 'its process at the client’s end died';
  if (failure !== undefined) throw new FuseError('SLUICE_BENCH_FAILED', `Cannot run the benchmark: ${failure}`);
}

function collect(message: ClientMessage, link: string, options: BenchOptions, collected: Collected): void {
  if (message.kind === 'note') options.report(message.text);
  if (message.kind === 'workload') collected.workloads.set(message.workload.name, message.workload);
  if (message.kind === 'sample') {
    collected.samples.push(message.sample);
    options.onSample(message.sample);
  }
  if (message.kind === 'skipped') {
    const { lane, reason } = message;
    options.report(`SKIPPED: lane ${lane} over ${link}: ${reason}`);
    collected.skipped.set(`${lane} ${reason}`, { lane, reason });
  }
}

function machine(): BenchResult['machine'] {
  const cpus = os.cpus();
  return {
    cpu: cpus[0]?.model.trim() ?? 'unknown',
    cores: cpus.length,
    memoryBytes: os.totalmem(),
    kernel: os.release(),
    node: process.version,
    sluice: version(),
  };
}
