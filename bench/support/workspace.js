import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { unmountBelow } from './mounts.js';

/** Calls `use` with a fresh directory, which goes away afterwards with everything mounted in it, also on a signal. */
export async function inWorkspace(use) {
  const directory = mkdtempSync(path.join(realpathSync(os.tmpdir()), 'sluice-bench-'));
  const clean = () => {
    unmountBelow(directory);
    rmSync(directory, { recursive: true, force: true });
  };
  const stop = (_name, number) => {
    clean();
    process.exit(128 + number);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
  try {
    return await use(directory);
  } finally {
    clean();
    for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, stop);
  }
}

/** @param name - of a C program in bench/anchors, without the ending */
export function compile(name, directory) {
  const program = path.join(directory, name);
  const source = fileURLToPath(new URL(`../anchors/${name}.c`, import.meta.url));
  execFileSync('gcc', ['-O2', '-o', program, source, '-lpthread'], { stdio: ['ignore', 'inherit', 'inherit'] });
  return program;
}

/** Runs a program whose standard output is JSON. */
export function runJson(program, args) {
  const options = { encoding: 'utf8', maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'inherit'] };
  return JSON.parse(execFileSync(program, args, options));
}
