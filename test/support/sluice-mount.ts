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

/** An image mounted by `sluice mount` in the background, whose process the test can look at. */
export class SluiceMount {
  readonly directory: string;
  /** Of the serving process. */
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
    return new SluiceMount(directory, (JSON.parse(stdout) as { pid: number }).pid, options);
  }

  /** A path below the mount. */
  at(name: string): string {
    return path.join(this.directory, name);
  }

  /** Runs `sluice umount` and waits for the end of the serving process. */
  async stop(...flags: readonly string[]): Promise<void> {
    const { status, stderr } = await sluice(['umount', ...flags, this.directory], this.#options);
    if (status !== 0) throw new Error(`Cannot unmount: ${stderr}`);
    await this.ended();
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
