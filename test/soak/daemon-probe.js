import { readdirSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';

/** Looks at the daemon of a cache directory from outside. */
export class DaemonProbe {
  #folder;

  constructor(cacheDirectory) {
    this.#folder = path.join(cacheDirectory, 'run');
  }

  /** Of the process that serves; undefined while there is none. */
  async pid() {
    const name = readdirSync(this.#folder).find((file) => /^sluiced-\d+\.sock$/.test(file));
    if (name === undefined) return undefined;
    try {
      const { pid } = await get(path.join(this.#folder, name), '/v1/daemon');
      return pid;
    } catch {
      return undefined;
    }
  }

  /** @returns KiB of memory, and numbers of descriptors and threads; undefined while there is no daemon */
  async sample() {
    const pid = await this.pid();
    if (pid === undefined) return undefined;
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'latin1');
      const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)[1]);
      return {
        resident: field('VmRSS'),
        threads: field('Threads'),
        descriptors: readdirSync(`/proc/${pid}/fd`).length,
      };
    } catch {
      return undefined;
    }
  }

  /** Ends a daemon that is still there. */
  async end() {
    const pid = (await this.pid()) ?? undefined;
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
  }
}

function get(socketPath, url) {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: url, agent: false, timeout: 5000 }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('error', reject);
      response.on('end', () => resolve(JSON.parse(text)));
    })
      .on('error', reject)
      .on('timeout', function destroy() {
        this.destroy();
      })
      .end();
  });
}
