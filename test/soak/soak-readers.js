import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../support/verifying-reader.js', import.meta.url));

/** Reader processes, watched: one that says nothing for too long is stuck. */
export class SoakReaders {
  #readers;
  #stuckMs;
  #stuck = new Set();

  constructor(count, mount, original, seed, stuckMs) {
    this.#stuckMs = stuckMs;
    this.#readers = Array.from({ length: count }, (_, i) => {
      const child = spawn(process.execPath, [program, mount, original, String(seed + i)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const reader = { child, last: undefined, heardAt: performance.now() };
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (part) => {
        const lines = (text + part).split('\n');
        text = lines.pop();
        for (const line of lines) if (line.startsWith('{')) reader.last = JSON.parse(line);
        reader.heardAt = performance.now();
      });
      return reader;
    });
  }

  async watch(isOver) {
    while (!isOver()) {
      this.#look();
      await sleep(500);
    }
  }

  /** Ends them. @returns what all saw together, and how many were stuck at some time */
  async stop() {
    for (const { child } of this.#readers) child.kill('SIGTERM');
    const end = performance.now() + this.#stuckMs;
    const isRunning = ({ child }) => child.exitCode === null && child.signalCode === null;
    while (this.#readers.some(isRunning) && performance.now() < end) await sleep(50);
    for (const reader of this.#readers.filter(isRunning)) this.#stuck.add(reader);
    const seen = { reads: 0, bytes: 0, wrong: 0, errors: {}, longestMs: 0, stuck: this.#stuck.size };
    for (const { last } of this.#readers) {
      if (last === undefined) continue;
      for (const what of ['reads', 'bytes', 'wrong']) seen[what] += last[what];
      for (const [code, n] of Object.entries(last.errors)) seen.errors[code] = (seen.errors[code] ?? 0) + n;
      seen.longestMs = Math.max(seen.longestMs, last.longestMs);
    }
    return seen;
  }

  kill() {
    for (const { child } of this.#readers) child.kill('SIGKILL');
  }

  #look() {
    for (const reader of this.#readers) if (performance.now() - reader.heardAt > this.#stuckMs) this.#stuck.add(reader);
  }
}
