import { readFileSync } from 'node:fs';

/** Bit of SIGKILL (signal 9) in the masks of proc_pid_status(5). */
const killBit = 1n << 8n;

/**
 * Whether a thread will end as soon as what it waits for lets it: any signal that ends a process becomes a pending
 * SIGKILL of each of its threads. Source: kernel/signal.c, complete_signal().
 *
 * @param tid - as this process sees it; 0 for one it cannot see, of which nothing is known
 */
export function isDying(tid: number): boolean {
  if (tid === 0) return false;
  try {
    const [, pending = '0'] = /^SigPnd:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${tid}/status`, 'latin1')) ?? [];
    return (BigInt(`0x${pending}`) & killBit) !== 0n;
  } catch (error) {
    return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH');
  }
}
