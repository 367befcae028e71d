import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Builds `dist/` once before the suite: worker threads and the command run the built files, tests the sources.
 * A type error does not stop the tests (the compiler emits all the same); `npm run check` does.
 */
export function setup(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const compiler = ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'];
  const { status } = spawnSync(process.execPath, compiler, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) console.warn(`tsc ended with status ${status}: run npm run check for what it found`);
}
