import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { RunDirectory } from './run-directory.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
let run: RunDirectory | undefined;

/**
 * Once before the suite: builds `dist/` and `bundle/`, because worker threads and the command run the built files while
 * tests run the sources; and gives the run a temporary directory of its own.
 */
export function setup(): void {
  const compiler = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'];
  const bundler = ['node_modules/rolldown/bin/cli.mjs', '--config', 'rolldown.config.ts', '--logLevel', 'warn'];
  const failed = [compiler, bundler].filter(
    (command) => spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' }).status !== 0,
  );
  // Files are written in spite of type errors; while somebody works on one part, the tests of the others can run.
  if (failed.length > 0 && process.env.CI) throw new Error('Cannot build: see the messages above');
  run = new RunDirectory();
  run.enter();
}

/** Once after the suite: a mount or a process that a test left behind is removed, and fails the run. */
export async function teardown(): Promise<void> {
  const leaks = (await run?.clean()) ?? [];
  if (leaks.length === 0) return;
  // vitest prints what a teardown throws, and exits with 0 all the same.
  process.exitCode = 1;
  throw new Error(`Left behind by a test, and removed now:\n  ${leaks.join('\n  ')}`);
}
