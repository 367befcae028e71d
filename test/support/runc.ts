import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually, run } from './process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

/** What a container takes from the OCI image config's `config`. Source: OCI image-spec 1.1, config.md. */
export interface ImageCommand {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly WorkingDir?: string;
}

export interface ContainerOptions {
  /** Instead of the image's entrypoint and command. */
  readonly args?: readonly string[];
  /** `none` (the default): a network namespace of its own; `host`: the one of the test. */
  readonly network?: 'host' | 'none';
}

/** The parts of an OCI runtime config.json that change here. */
interface RuntimeConfig {
  process: { terminal: boolean; args: string[]; env: string[]; cwd: string };
  root: { path: string; readonly: boolean };
  linux: { namespaces: { type: string }[] };
}

/** Docker's default set: what images expect to have. */
const capabilities =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`);

let serial = 0;

/**
 * A container in runc, on an overlay mount over somebody's root file system: what it writes goes to a temporary
 * directory. Always stop it.
 */
export class Container {
  readonly #directory: string;
  readonly #id: string;
  #output = '';
  #ended: Promise<number>;

  private constructor(directory: string, id: string) {
    this.#directory = directory;
    this.#id = id;
    const child = spawn('runc', [...this.#root(), 'run', '--bundle', directory, id], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
      });
    }
    this.#ended = once(child, 'close').then(([status]) => (typeof status === 'number' ? status : -1));
  }

  /**
   * Starts the image's command.
   * @param rootfs - read only for the container; may be any mounted tree
   */
  static async start(rootfs: string, image: ImageCommand, options: ContainerOptions = {}): Promise<Container> {
    const directory = makeTemporaryDirectory();
    try {
      await prepareBundle(directory, rootfs, image, options);
    } catch (error) {
      await removeTemporaryDirectory(directory);
      throw error;
    }
    serial += 1;
    return new Container(directory, `sluice-${process.pid}-${serial}`);
  }

  /** All it has written so far, both streams. */
  get output(): string {
    return this.#output;
  }

  /** Waits for its end; returns its exit status. */
  ended(): Promise<number> {
    return this.#ended;
  }

  /**
   * Waits until `probe` resolves to something, or a line of the output matches.
   * @throws Error with the output so far when that takes too long, or when the container ends before
   */
  async ready(probe: RegExp | (() => Promise<unknown>), timeoutMs = 30_000): Promise<void> {
    const attempt = async (): Promise<true | undefined> => {
      if (probe instanceof RegExp) return probe.test(this.#output) ? true : undefined;
      await probe();
      return true;
    };
    const early = this.#ended.then(async (status) => {
      if ((await attempt().catch(() => undefined)) !== true) throw new Error(`it ended with ${status}`);
    });
    try {
      await Promise.race([eventually(`${probe}`, attempt, timeoutMs), early]);
    } catch (error) {
      throw new Error(`Cannot use the container: ${(error as Error).message}; it wrote: ${this.#output}`, {
        cause: error,
      });
    }
  }

  /** Kills it if it still runs, and removes everything. */
  async stop(): Promise<void> {
    await run('runc', [...this.#root(), 'delete', '--force', this.#id]);
    await this.#ended;
    await removeTemporaryDirectory(this.#directory);
  }

  #root(): string[] {
    return ['--root', path.join(this.#directory, 'state')];
  }
}

async function prepareBundle(
  directory: string,
  rootfs: string,
  image: ImageCommand,
  options: ContainerOptions,
): Promise<void> {
  const part = (name: string): string => path.join(directory, name);
  await Promise.all(['upper', 'work', 'rootfs', 'state'].map((name) => mkdir(part(name))));
  const layers = `lowerdir=${rootfs},upperdir=${part('upper')},workdir=${part('work')}`;
  await run('mount', ['-t', 'overlay', 'overlay', '-o', layers, part('rootfs')]);
  await run('runc', ['spec', '--bundle', directory]);
  const config = JSON.parse(await readFile(part('config.json'), 'utf8')) as RuntimeConfig;
  config.root.readonly = false;
  Object.assign(config.process, {
    terminal: false,
    args: options.args ?? [...(image.Entrypoint ?? []), ...(image.Cmd ?? [])],
    env: image.Env ?? [],
    cwd: image.WorkingDir || '/',
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
  });
  if (options.network === 'host') {
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== 'network');
  }
  await writeFile(part('config.json'), JSON.stringify(config));
}

/**
 * Runs the image's command on `rootfs` to its end.
 * @returns its exit status and both streams of its output
 */
export async function runContainer(
  rootfs: string,
  image: ImageCommand,
  options: ContainerOptions = {},
): Promise<{ status: number; output: string }> {
  const container = await Container.start(rootfs, image, options);
  try {
    const status = await container.ended();
    return { status, output: container.output };
  } finally {
    await container.stop();
  }
}
