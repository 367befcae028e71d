import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

export interface DockerRegistryOptions {
  /** Ask for this user and password. */
  readonly htpasswd?: { readonly username: string; readonly password: string };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

/** JSON is YAML. Source: distribution, "Configuring a registry". */
function configuration(folder: string, port: number, options: DockerRegistryOptions): string {
  const htpasswd = path.join(folder, 'htpasswd');
  if (options.htpasswd) {
    const { username, password } = options.htpasswd;
    writeFileSync(htpasswd, execFileSync('htpasswd', ['-nbB', '-C', '4', username, password]));
  }
  return JSON.stringify({
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: path.join(folder, 'data') }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
    ...(options.htpasswd ? { auth: { htpasswd: { realm: 'test', path: htpasswd } } } : {}),
  });
}

/** Debian's docker-registry on a free loopback port, with a folder of its own: an oracle for the client. */
export class DockerRegistry {
  /** `127.0.0.1:PORT`, as in references. */
  readonly host: string;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(host: string, folder: string, process: ChildProcess) {
    this.host = host;
    this.#folder = folder;
    this.#process = process;
  }

  /** Ask `has('docker-registry')` first, and `has('htpasswd')` for a password. */
  static async start(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const folder = makeTemporaryDirectory();
    const port = await freePort();
    const file = path.join(folder, 'config.yml');
    writeFileSync(file, configuration(folder, port, options));
    const child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const registry = new DockerRegistry(`127.0.0.1:${port}`, folder, child);
    for (let tries = 0; tries < 500; tries++) {
      if (child.exitCode !== null) break;
      const answered = await fetch(`http://${registry.host}/v2/`).then(
        (response) => response.arrayBuffer().then(() => true),
        () => false,
      );
      if (answered) return registry;
      await sleep(20);
    }
    await registry.close();
    throw new Error(`docker-registry does not answer: ${said}`);
  }

  async close(): Promise<void> {
    if (this.#process.exitCode === null) {
      const exited = once(this.#process, 'exit');
      this.#process.kill('SIGKILL');
      await exited;
    }
    await removeTemporaryDirectory(this.#folder);
  }
}
