import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTemporaryDirectory, removeTemporaryDirectory } from './temporary.ts';

export interface DockerRegistryOptions {
  /** Ask for this user and password. */
  readonly htpasswd?: { readonly username: string; readonly password: string };
  /** Speak https with a certificate of its own, for 127.0.0.1: {@link DockerRegistry.ca}. Needs `openssl`. */
  readonly tls?: boolean;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** A certificate nobody but the test trusts. @returns its PEM text */
function makeCertificate(folder: string): string {
  const files = ['-keyout', path.join(folder, 'key.pem'), '-out', path.join(folder, 'cert.pem')];
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...key, ...subject, ...files], { stdio: 'ignore' });
  return readFileSync(path.join(folder, 'cert.pem'), 'utf8');
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
    http: {
      addr: `127.0.0.1:${port}`,
      ...(options.tls
        ? { tls: { certificate: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') } }
        : {}),
    },
    ...(options.htpasswd ? { auth: { htpasswd: { realm: 'test', path: htpasswd } } } : {}),
  });
}

/** Debian's docker-registry on a free loopback port, with a folder of its own: an oracle for the client. */
export class DockerRegistry {
  /** `127.0.0.1:PORT`, as in references. */
  readonly host: string;
  /** PEM, with `tls`. */
  readonly ca: string | undefined;
  readonly #folder: string;
  readonly #process: ChildProcess;

  private constructor(host: string, ca: string | undefined, folder: string, process: ChildProcess) {
    this.host = host;
    this.ca = ca;
    this.#folder = folder;
    this.#process = process;
  }

  /** Ask `has('docker-registry')` first, and `has('htpasswd')` for a password. */
  static async start(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const folder = makeTemporaryDirectory();
    const port = await freePort();
    const ca = options.tls ? makeCertificate(folder) : undefined;
    const file = path.join(folder, 'config.yml');
    writeFileSync(file, configuration(folder, port, options));
    const child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const registry = new DockerRegistry(`127.0.0.1:${port}`, ca, folder, child);
    for (let tries = 0; tries < 500; tries++) {
      if (child.exitCode !== null) break;
      const answered = await connects(port);
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
