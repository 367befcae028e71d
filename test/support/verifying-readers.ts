import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from './process.ts';

const program = fileURLToPath(new URL('verifying-reader.js', import.meta.url));

/** What one reader saw. */
export interface Seen {
  readonly reads: number;
  /** Reads whose bytes were not the original's. */
  readonly wrong: number;
  /** How many reads failed, by the errno's name. */
  readonly errors: Readonly<Record<string, number>>;
  readonly longestMs: number;
}

/** Processes that read a mount at random, past the page cache, and compare every byte with what it was made from. */
export class VerifyingReaders {
  readonly #readers: readonly { readonly process: ChildProcess; output: string }[];

  /** Begins. @param original - a folder with the same files */
  constructor(count: number, mount: string, original: string) {
    this.#readers = Array.from({ length: count }, (_, i) => {
      const child = spawn(process.execPath, [program, mount, original, String(i + 1)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const reader = { process: child, output: '' };
      child.stdout.on('data', (part: Buffer) => {
        reader.output += part.toString();
      });
      return reader;
    });
  }

  /** Waits until all of them read. */
  async begun(): Promise<void> {
    await eventually('readers', () => (this.#readers.every(({ output }) => output !== '') ? true : undefined));
  }

  /**
   * Ends them.
   * @returns what all of them saw together
   * @throws Error when one is stuck in a read
   */
  async stop(): Promise<Seen> {
    for (const { process } of this.#readers) process.kill('SIGTERM');
    const seen = await Promise.all(
      this.#readers.map(({ output, process }, i) =>
        eventually(`reader ${i}, which may be stuck`, () => {
          if (process.exitCode === null) return undefined;
          const said = this.#readers[i]?.output ?? output;
          return JSON.parse(said.trim().split('\n').at(-1) ?? '') as Seen;
        }),
      ),
    );
    return seen.reduce(join);
  }

  /** Ends them however they are. */
  kill(): void {
    for (const { process } of this.#readers) process.kill('SIGKILL');
  }
}

function join(one: Seen, other: Seen): Seen {
  const errors: Record<string, number> = { ...one.errors };
  for (const [code, count] of Object.entries(other.errors)) errors[code] = (errors[code] ?? 0) + count;
  return {
    reads: one.reads + other.reads,
    wrong: one.wrong + other.wrong,
    errors,
    longestMs: Math.max(one.longestMs, other.longestMs),
  };
}
