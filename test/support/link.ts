import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { run, stopProcess } from './process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

/** What a link is like. Worth measuring: 1000/1 (same rack), 100/20 (same country), 50/150 (another continent). */
export interface LinkSpeed {
  /** 0 for no limit. */
  readonly megabitsPerSecond: number;
  readonly roundTripMs: number;
}

export interface LinkOptions extends LinkSpeed {
  /** Packets lost by chance, in a million; none by default. */
  readonly lossPpm?: number;
}

/** What went through a link one way. */
export interface LinkCounters {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

/** One end: a network namespace with an address of its own, where programs can be started. */
export class LinkEnd {
  readonly address: string;
  readonly #namespace: string;

  constructor(address: string, namespace: string) {
    this.address = address;
    this.#namespace = namespace;
  }

  /** The command line that runs `command` at this end. */
  command(...command: readonly string[]): readonly [string, ...string[]] {
    return ['nsenter', `--net=${this.#namespace}`, ...command];
  }
}

const source = fileURLToPath(new URL('./link/netshape.c', import.meta.url));

/** At least a round trip's worth of bytes, so that one TCP connection fills the link. */
function queueKib({ megabitsPerSecond, roundTripMs }: LinkSpeed): number {
  return Math.max(256, Math.ceil((megabitsPerSecond * 1000 * roundTripMs) / 8 / 1024));
}

const wireArguments = ({ megabitsPerSecond, roundTripMs }: LinkSpeed): string[] => [
  `${megabitsPerSecond}`,
  `${roundTripMs / 2}`,
];

/**
 * A slow link between two network namespaces on this machine. They have no names and belong to one process
 * (link/netshape.c): links do not disturb each other, and nothing stays when the test dies.
 */
export class Link {
  readonly server: LinkEnd;
  readonly client: LinkEnd;
  readonly #wire: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #directory: string;
  #speed: LinkSpeed;

  private constructor(
    wire: ChildProcess,
    lines: AsyncIterator<string>,
    namespaces: readonly string[],
    directory: string,
    speed: LinkSpeed,
  ) {
    const [a, b] = namespaces;
    this.server = new LinkEnd('10.77.0.1', `/proc/${wire.pid}/fd/${a}`);
    this.client = new LinkEnd('10.77.0.2', `/proc/${wire.pid}/fd/${b}`);
    this.#wire = wire;
    this.#lines = lines;
    this.#directory = directory;
    this.#speed = speed;
  }

  /** Needs root, cc and nsenter. */
  static async open(options: LinkOptions): Promise<Link> {
    const directory = makeTemporaryDirectory();
    const program = path.join(directory, 'netshape');
    await run('cc', ['-O2', '-Wall', '-o', program, source]);
    const args = [...wireArguments(options), `${queueKib(options)}`, `${options.lossPpm ?? 0}`];
    const wire = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: wire.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) {
      await removeTemporaryDirectory(directory);
      throw new Error('Cannot open a link: see the message of netshape above');
    }
    return new Link(wire, lines, first.value.split(' '), directory, options);
  }

  /** Changes the speed from the next packet on. */
  async reshape(speed: LinkSpeed): Promise<void> {
    this.#speed = speed;
    await this.counters();
  }

  /** What went through it so far. */
  async counters(): Promise<{ toClient: LinkCounters; toServer: LinkCounters }> {
    this.#wire.stdin?.write(`${wireArguments(this.#speed).join(' ')}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('Cannot read the counters of a link: it is closed');
    const numbers = line.value.split(' ').map(Number);
    const direction = (at: number): LinkCounters => ({
      packets: numbers[at] ?? 0,
      bytes: numbers[at + 1] ?? 0,
      drops: numbers[at + 2] ?? 0,
    });
    return { toClient: direction(0), toServer: direction(3) };
  }

  /** Removes it; programs still running at its ends keep their namespaces, without a way out. */
  async close(): Promise<void> {
    await stopProcess(this.#wire);
    await removeTemporaryDirectory(this.#directory);
  }
}
