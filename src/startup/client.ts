import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { UsageError } from '../errors.ts';
import { openSource, openTarget } from '../transport/open.ts';
import { type ClientMessage, type ClientPlan, go } from './client-plan.ts';
import { copyImage } from './copy-image.ts';
import type { Lane, LaneContext } from './lane.ts';
import { clearFolder } from './lanes/clear-folder.ts';
import { createLane } from './lanes.ts';
import { dropPageCache } from './page-cache.ts';
import { shuffler } from './shuffle.ts';
import { takeSample } from './take-sample.ts';
import type { Workload } from './workload.ts';

type Say = (message: ClientMessage) => void;

/** A lane and a workload that it could be prepared for. */
interface Pair {
  readonly lane: Lane;
  readonly workload: Workload;
}

/** Preparing one lane for one image, which converts and uploads it, takes no longer than this, ms. */
const prepareMs = 900_000;

/**
 * The process at the client's end of a link: does what the plan on its standard input says, and reports on its standard
 * output. It ends, and everything it started with it, when its standard input does.
 */
export async function runClient(): Promise<void> {
  // A terminal's Ctrl-C reaches it too: whoever started it decides, and there is much to clean up.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
  const say: Say = (message) => void process.stdout.write(`${JSON.stringify(message)}\n`);
  const abort = new AbortController();
  const input = createInterface({ input: process.stdin });
  input.on('close', () => abort.abort(new UsageError('SLUICE_CANCELLED', 'Cancelled')));
  const lines = input[Symbol.asyncIterator]();
  const plan = JSON.parse(String((await lines.next()).value)) as ClientPlan;
  const client = new Client(plan, say, abort.signal);
  try {
    await client.prepare();
    say({ kind: 'prepared' });
    if ((await lines.next()).value === go) await client.measure();
  } catch (error) {
    say({ kind: 'failed', message: messageOf(error) });
  } finally {
    await client.close();
    say({ kind: 'done' });
    input.close();
  }
}

class Client {
  readonly #plan: ClientPlan;
  readonly #say: Say;
  readonly #signal: AbortSignal;
  readonly #lanes: Lane[] = [];
  readonly #pairs: Pair[] = [];

  constructor(plan: ClientPlan, say: Say, signal: AbortSignal) {
    this.#plan = plan;
    this.#say = say;
    this.#signal = signal;
  }

  async prepare(): Promise<void> {
    for (const workload of this.#plan.workloads) await this.#upload(workload);
    for (const name of this.#plan.lanes) await this.#prepareLane(name);
  }

  /** Rounds of one sample of everything, each in another order: what changes in the course of time hits all alike. */
  async measure(): Promise<void> {
    const shuffle = shuffler(this.#plan.seed);
    let order = 0;
    for (let round = 0; round < this.#plan.samples; round++) {
      for (const pair of shuffle(this.#pairs)) await this.#sample(pair, order++);
    }
  }

  async close(): Promise<void> {
    for (const lane of this.#lanes) {
      try {
        await lane.close();
        await clearFolder(this.#folder(lane.name));
      } catch (error) {
        this.#say({ kind: 'note', text: `${lane.name} left something behind: ${messageOf(error)}` });
      }
    }
  }

  async #upload(workload: Workload): Promise<void> {
    this.#say({ kind: 'note', text: `${workload.name}: copying ${workload.image} to the registry` });
    const source = openSource(workload.image, {});
    const target = openTarget(`docker://${this.#plan.registry}/${repositoryOf(workload)}`, { plainHttp: true });
    try {
      const compressedBytes = await copyImage(source, target, this.#signal);
      const { name, image, ready } = workload;
      this.#say({ kind: 'workload', workload: { name, image, ready, compressedBytes } });
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  }

  async #prepareLane(name: string): Promise<void> {
    const lane = await createLane(name, this.#plan.command);
    const reason = await lane.unavailable();
    if (reason !== undefined) return this.#say({ kind: 'skipped', lane: name, reason });
    this.#lanes.push(lane);
    for (const workload of this.#plan.workloads) {
      this.#say({ kind: 'note', text: `${workload.name}: preparing ${name}` });
      try {
        await lane.prepare(this.#context(lane, workload, prepareMs));
        this.#pairs.push({ lane, workload });
      } catch (error) {
        this.#signal.throwIfAborted();
        this.#say({ kind: 'skipped', lane: name, reason: `${workload.name}: ${messageOf(error)}` });
      }
    }
  }

  async #sample({ lane, workload }: Pair, order: number): Promise<void> {
    this.#signal.throwIfAborted();
    const { link, dropCaches, registryFolder, probe } = this.#plan;
    await lane.wipe(this.#context(lane, workload, prepareMs));
    if (dropCaches) await dropPageCache(registryFolder);
    const measured = await takeSample(lane, this.#context(lane, workload, workload.timeoutMs), probe);
    this.#signal.throwIfAborted();
    this.#say({ kind: 'sample', sample: { workload: workload.name, link, lane: lane.name, order, ...measured } });
  }

  #context(lane: Lane, workload: Workload, timeoutMs: number): LaneContext {
    const directory = this.#folder(lane.name);
    mkdirSync(directory, { recursive: true });
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(timeoutMs)]);
    return { workload, registry: this.#plan.registry, repository: repositoryOf(workload), directory, signal };
  }

  /** By number: paths of sockets have to be short. */
  #folder(lane: string): string {
    return path.join(this.#plan.directory, `${this.#plan.lanes.indexOf(lane)}`);
  }
}

const repositoryOf = ({ name }: Workload): string => `${name}:plain`;

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
