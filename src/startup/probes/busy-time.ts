import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc. Source: USER_HZ, 100 on every architecture Linux has. */
const ticksPerSecond = 100;

/**
 * How long the cores of this machine were busy since it started, without what this process and `others` took: ms, in steps
 * of 10.
 * @param others - processes that are not part of what is measured; one that is gone took nothing
 */
export function busyMs(others: readonly number[]): number {
  const ticks =
    machineTicks(readFileSync('/proc/stat', 'latin1')) -
    [process.pid, ...others].reduce((sum, pid) => sum + ticksOf(pid), 0);
  return (ticks * 1000) / ticksPerSecond;
}

/** Source: proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq. */
export function machineTicks(text: string): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = text
    .slice(0, text.indexOf('\n'))
    .split(/\s+/)
    .map(Number);
  return user + nice + system + irq + softirq;
}

function ticksOf(pid: number): number {
  try {
    return processTicks(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return 0;
  }
}

/** Source: proc(5), /proc/pid/stat: utime and stime are the 12th and 13th after the name, which stands in brackets. */
export function processTicks(text: string): number {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}
