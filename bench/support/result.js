import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { formatRow } from './rows.js';

/**
 * Ends a benchmark: prints its rows on stderr, and one JSON on stdout, from which reports are made.
 *
 * @param result - `benchmark`; `parameters`; `samples`, raw; `rows`, as in rows.js
 */
export function publish(result) {
  for (const row of result.rows) process.stderr.write(`${formatRow(row)}\n`);
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const { benchmark, ...rest } = result;
  const facts = {
    benchmark,
    commit: git('rev-parse', 'HEAD'),
    changed: git('status', '--porcelain', '--untracked-files=no', '--', 'src', 'native', 'bench') !== '',
    machine: { cpu: os.cpus()[0].model, cpus: os.cpus().length, kernel: os.release() },
    node: process.version,
  };
  process.stdout.write(`${JSON.stringify({ ...facts, ...rest })}\n`);
}
