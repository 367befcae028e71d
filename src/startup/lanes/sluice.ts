import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { OptimizedProfile } from '../../optimize/optimize-image.ts';
import type { StartEvent, StartReport } from '../../runtime/start-report.ts';
import type { Lane, LaneContainer, LaneContext } from '../lane.ts';
import { whenReady } from '../readiness.ts';
import type { ChunkTimes } from '../result.ts';
import { clearFolder } from './clear-folder.ts';
import { startContainer } from './container.ts';
import { missingPrograms, runProgram } from './program.ts';

/** How sluice gets to its content. */
export type SluiceKind =
  /** Nothing is here, and nothing is known of the start. */
  | 'lazy'
  /** Nothing is here; the image has the profile of an earlier start. */
  | 'traced'
  /** What an earlier start read is here. */
  | 'second'
  /** Nothing is here, and everything is fetched before the container starts. */
  | 'eager';

/** `sluice run` on the converted image. */
export class SluiceLane implements Lane {
  readonly name: string;
  readonly #kind: SluiceKind;
  readonly #command: readonly string[];

  /** @param command - words that run sluice */
  constructor(kind: SluiceKind, command: readonly string[]) {
    this.name = `sluice-${kind}`;
    this.#kind = kind;
    this.#command = command;
  }

  async unavailable(): Promise<string | undefined> {
    if (process.getuid?.() !== 0) return 'mounting the root file system takes root';
    return missingPrograms('runc');
  }

  async prepare(context: LaneContext): Promise<void> {
    if (this.#kind === 'traced') {
      await makeTracedImage(context, this.#command);
      return;
    }
    await convertImage(context, this.#command, plainImage(context));
    if (this.#kind !== 'second') return;
    // From a tag to its manifest is a question for the registry each time; all else is here from now on.
    await clearFolder(cacheOf(context));
    await runUntilReady(context, runWords(context, this.#command, plainImage(context), []));
  }

  async wipe(context: LaneContext): Promise<void> {
    if (this.#kind !== 'second') await clearFolder(cacheOf(context));
  }

  async start(context: LaneContext): Promise<LaneContainer> {
    const startedAt = performance.timeOrigin + performance.now();
    const reportFile = path.join(context.directory, 'report.json');
    const image = this.#kind === 'traced' ? tracedImage(context) : plainImage(context);
    const options = ['--report', reportFile, ...(this.#kind === 'eager' ? ['--eager'] : [])];
    const container = startSluice(runWords(context, this.#command, image, options));
    let report: StartReport | undefined;
    const since = (ms: number): number => (report?.startedAt ?? 0) + ms - startedAt;
    const eventMs = (event: StartEvent): number | undefined => {
      const found = report?.events.find(({ name }) => name === event);
      return found === undefined ? undefined : since(found.ms);
    };
    return {
      ...container,
      pulledMs: () => eventMs('bootstrap'),
      mountedMs: () => eventMs('rootfs'),
      stop: async () => {
        await container.stop();
        // A run that failed has written none, which the container's exit status tells better.
        report ??= await readReport(reportFile).catch(() => undefined);
      },
      chunks: async (): Promise<ChunkTimes | undefined> =>
        report && {
          counts: report.chunks.counts,
          arrivals: report.chunks.arrivals.map(([ms, device, chunk]) => [since(ms), device, chunk]),
        },
    };
  }

  async close(): Promise<void> {
    // There is no daemon: each container took its own down.
  }
}

/**
 * Converts the image, starts its workload once with `--trace`, and puts the profile beside it in the registry.
 * @returns bytes of its hot blob, which is what the start touches, compressed
 */
export async function makeTracedImage(context: LaneContext, command: readonly string[]): Promise<number> {
  const image = tracedImage(context);
  await convertImage(context, command, image);
  await clearFolder(cacheOf(context));
  await runUntilReady(context, runWords(context, command, image, ['--trace']));
  let output = '';
  await runSluice(context, command, ['optimize', '--json', ...place(context), image], (line) => {
    output += `${line}\n`;
  });
  const { profiles } = JSON.parse(output) as { profiles: readonly OptimizedProfile[] };
  return profiles.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
}

/** A repository of its own: what is attached to an image would be found by those that are to know nothing. */
const tracedImage = (context: LaneContext): string => imageIn(context, `${context.workload.name}-traced`);
const plainImage = (context: LaneContext): string => imageIn(context, context.workload.name);
const imageIn = ({ registry }: LaneContext, repository: string): string => `docker://${registry}/${repository}:sluice`;
const cacheOf = ({ directory, workload }: LaneContext): string => path.join(directory, workload.name);
const place = (context: LaneContext): string[] => ['--plain-http', '--cache-dir', cacheOf(context)];

async function convertImage(context: LaneContext, command: readonly string[], image: string): Promise<void> {
  const source = `docker://${context.registry}/${context.repository}`;
  await runSluice(context, command, ['convert', '--json', ...place(context), source, image]);
}

function runSluice(
  { signal }: LaneContext,
  [program = '', ...words]: readonly string[],
  args: readonly string[],
  onLine: (line: string) => void = () => undefined,
): Promise<void> {
  return runProgram(program, [...words, ...args], { signal, onLine });
}

/** The words of `sluice run` for a workload, whose command takes the place of the image's entrypoint, too. */
function runWords(
  context: LaneContext,
  command: readonly string[],
  image: string,
  options: readonly string[],
): readonly string[] {
  const { command: own, environment } = context.workload;
  const variables = Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
  const replaced = own === undefined ? [] : ['--entrypoint', ''];
  return [...command, 'run', ...place(context), ...options, ...variables, ...replaced, image, ...(own ?? [])];
}

/** Starts the container, and ends it when it is ready. */
async function runUntilReady(context: LaneContext, words: readonly string[]): Promise<void> {
  const container = startSluice(words);
  try {
    await whenReady(container, context.workload.ready, context.signal);
  } finally {
    await container.stop();
  }
}

function startSluice([program = '', ...args]: readonly string[]): LaneContainer {
  return startContainer({
    program,
    args,
    pulledMs: undefined,
    mountedMs: undefined,
    // The first process of a container may ignore all of them, and the third kills it. Equal ones would become one.
    kill: async (_signal, child) => {
      for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) child.kill(name);
    },
    remove: async () => undefined,
  });
}

async function readReport(file: string): Promise<StartReport> {
  return JSON.parse(await readFile(file, 'utf8')) as StartReport;
}
