import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function connects(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Debian's docker-registry, which can be killed and started again, with what it holds. */
export class RegistryProcess {
  #folder;
  #child;
  port;

  constructor(folder) {
    this.#folder = folder;
    mkdirSync(folder);
  }

  async start() {
    this.port ??= await freePort();
    const file = path.join(this.#folder, 'config.yml');
    const configuration = {
      version: '0.1',
      log: { level: 'error', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: path.join(this.#folder, 'data') } },
      http: { addr: `127.0.0.1:${this.port}` },
    };
    writeFileSync(file, JSON.stringify(configuration));
    this.#child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
    for (let wait = 0; wait < 500; wait++) {
      if (await connects(this.port)) return;
      await sleep(20);
    }
    throw new Error('docker-registry does not answer');
  }

  async kill() {
    if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}
