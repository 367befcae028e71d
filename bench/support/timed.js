import { spawnSync } from 'node:child_process';

/**
 * Runs a program with its standard output thrown away.
 * @returns seconds: `wall`, and `cpu` of it and its children, user and system
 * @throws Error when it fails
 */
export function timed(program, args) {
  const script = 'exec 3>&2 2>&1 >/dev/null; TIMEFORMAT="%R %U %S"; time "$@" 2>&3';
  const { status, stdout } = spawnSync('bash', ['-c', script, 'bash', program, ...args], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new Error(`${program} ended with status ${status}`);
  const [wall, user, system] = stdout.trim().split(' ').map(Number);
  return { wall, cpu: user + system };
}
