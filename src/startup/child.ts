import type { ChildProcess } from 'node:child_process';

/** How long a process may take to end when it is asked to, before it is killed, ms. */
const defaultGraceMs = 5000;

/** Ends a process of ours and waits for that; one that does not listen is killed. Does nothing when it has ended. */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals = 'SIGTERM',
  graceMs = defaultGraceMs,
): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const killer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(killer);
}
