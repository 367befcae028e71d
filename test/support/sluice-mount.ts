import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { eventually } from './process.ts';
import { type SluiceOptions, sluice } from './sluice.ts';

/** A process that has ended and that nobody waited for yet counts as dead: who adopted it may take a second. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\sZ/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}

/** How many mounts of this test each daemon serves. */
const mountsOf = new Map<number, number>();

function count(pid: number, change: 1 | -1): number {
  const mounts = (mountsOf.get(pid) ?? 0) + change;
  mountsOf.set(pid, mounts);
  return mounts;
}

/** An image mounted by `sluice mount` through the daemon of its cache directory, whose process the test can look at. */
export class SluiceMount {
  readonly directory: string;
  /** Of the daemon. */
  readonly pid: number;
  readonly #options: SluiceOptions;

  private constructor(directory: string, pid: number, options: SluiceOptions) {
    this.directory = directory;
    this.pid = pid;
    this.#options = options;
  }

  /**
   * @param args - image and options, without the directory
   * @param directory - made if it does not exist
   * @throws Error with the command's complaint
   */
  static async start(args: readonly string[], directory: string, options: SluiceOptions = {}): Promise<SluiceMount> {
    await mkdir(directory, { recursive: true });
    const { status, stdout, stderr } = await sluice(['mount', '--json', ...args, directory], options);
    if (status !== 0) throw new Error(`Cannot mount ${args.join(' ')}: status ${status}: ${stderr}`);
    const { pid } = JSON.parse(stdout) as { pid: number };
    count(pid, 1);
    return new SluiceMount(directory, pid, options);
  }

  /** A path below the mount. */
  at(name: string): string {
    return path.join(this.directory, name);
  }

  /** Runs `sluice umount` and, when it was the daemon's last mount, waits for the daemon's end. */
  async stop(...flags: readonly string[]): Promise<void> {
    const { status, stderr } = await sluice(['umount', ...flags, this.directory], this.#options);
    if (status !== 0) throw new Error(`Cannot unmount: ${stderr}`);
    if (count(this.pid, -1) === 0) await this.ended();
  }

  /** Whether the serving process lives. */
  isAlive(): boolean {
    return isAlive(this.pid);
  }

  /** Waits for the end of the serving process. */
  async ended(): Promise<void> {
    await eventually('the serving process to end', () => (this.isAlive() ? undefined : true));
  }
}
