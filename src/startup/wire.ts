import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { createInterface } from 'node:readline';
import { FuseError } from '../errors.ts';
import { packageFile } from '../package-file.ts';
import { endProcess } from './child.ts';

/** What a link is like. Worth measuring: 1000/1 (same rack), 100/20 (same country), 50/150 (another continent). */
export interface LinkSpeed {
  /** 0 for no limit. */
  readonly megabitsPerSecond: number;
  readonly roundTripMs: number;
}

export interface WireOptions extends LinkSpeed {
  /** Packets lost by chance, in a million; none by default. */
  readonly lossPpm?: number;
}

/** What went through a wire one way. */
export interface WireCounters {
  readonly packets: number;
  readonly bytes: number;
  readonly drops: number;
}

/** One end: a network namespace with an address of its own, where programs can be started. */
export interface WireEnd {
  readonly address: string;
  /** Puts `command` into the words that run it at this end. */
  command(...command: readonly string[]): readonly [string, ...string[]];
}

/** Built by native/build.js. */
const program = packageFile('native/build/netshape');

/** At least a round trip's worth of bytes, so that one TCP connection fills the link. */
function queueKib({ megabitsPerSecond, roundTripMs }: LinkSpeed): number {
  return Math.max(256, Math.ceil((megabitsPerSecond * 1000 * roundTripMs) / 8 / 1024));
}

const shapeArguments = ({ megabitsPerSecond, roundTripMs }: LinkSpeed): string[] => [
  `${megabitsPerSecond}`,
  `${roundTripMs / 2}`,
];

/**
 * A slow link between two network namespaces on this machine. They have no names and belong to one process
 * (native/netshape.c): wires do not disturb each other, and nothing stays when this process dies. ADR-0010
 */
export class Wire {
  readonly server: WireEnd;
  readonly client: WireEnd;
  /** Of the process that carries the packets. */
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #speed: LinkSpeed;

  private constructor(
    wire: ChildProcess,
    lines: AsyncIterator<string>,
    namespaces: readonly string[],
    speed: LinkSpeed,
  ) {
    const [server = '', client = ''] = namespaces.map((fd) => `/proc/${wire.pid}/fd/${fd}`);
    this.server = wireEnd('10.77.0.1', server);
    this.client = wireEnd('10.77.0.2', client);
    this.pid = wire.pid ?? 0;
    this.#process = wire;
    this.#lines = lines;
    this.#speed = speed;
  }

  /** @returns why this machine cannot have one; undefined when it can */
  static unavailable(): string | undefined {
    if (process.getuid?.() !== 0) return 'network namespaces take root';
    for (const [file, reason] of [
      [program, `"${program}" does not exist; \`npm rebuild\` with a C compiler builds it`],
      ['/dev/net/tun', 'there is no /dev/net/tun'],
    ] as const) {
      try {
        accessSync(file, constants.R_OK);
      } catch {
        return reason;
      }
    }
    return undefined;
  }

  /** @throws {FuseError} SLUICE_BENCH_FAILED; ask {@link Wire.unavailable} first */
  static async open(options: WireOptions): Promise<Wire> {
    const args = [...shapeArguments(options), `${queueKib(options)}`, `${options.lossPpm ?? 0}`];
    const wire = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let complaint = '';
    wire.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(0, 1000);
    });
    wire.on('error', (error) => {
      complaint = error.message;
    });
    // It may die first, which the end of its output says.
    wire.stdin.on('error', () => undefined);
    const lines = createInterface({ input: wire.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) throw wireError(`Cannot open a link: ${complaint.trim() || 'netshape died'}`);
    return new Wire(wire, lines, first.value.split(' '), options);
  }

  /** Changes the speed from the next packet on. */
  async reshape(speed: LinkSpeed): Promise<void> {
    this.#speed = speed;
    await this.counters();
  }

  /** What went through it so far. */
  async counters(): Promise<{ toClient: WireCounters; toServer: WireCounters }> {
    this.#process.stdin?.write(`${shapeArguments(this.#speed).join(' ')}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw wireError('Cannot read the counters of a link: it is closed');
    const numbers = line.value.split(' ').map(Number);
    const direction = (at: number): WireCounters => ({
      packets: numbers[at] ?? 0,
      bytes: numbers[at + 1] ?? 0,
      drops: numbers[at + 2] ?? 0,
    });
    return { toClient: direction(0), toServer: direction(3) };
  }

  /** Removes it; programs still running at its ends keep their namespaces, without a way out. */
  async close(): Promise<void> {
    await endProcess(this.#process);
  }
}

function wireEnd(address: string, namespace: string): WireEnd {
  return { address, command: (...command) => ['nsenter', `--net=${namespace}`, ...command] };
}

function wireError(message: string): FuseError {
  return new FuseError('SLUICE_BENCH_FAILED', message);
}
