import type { Native } from '../native.ts';

/** The kernel takes 253 (SCM_MAX_FD). */
const maximumAtOnce = 250;

/** A stream carries descriptors on a byte. */
const carrier = Uint8Array.of(0);

/** Sends any number of open files. Blocks for as long as the other side has not received earlier ones. */
export function passDescriptors(native: Native, socket: number, fds: readonly number[]): void {
  for (let at = 0; at < fds.length; at += maximumAtOnce) {
    native.sendDescriptors(socket, fds.slice(at, at + maximumAtOnce), carrier);
  }
}

/**
 * Receives what one call of {@link passDescriptors} sent, which has to be told how many that were. Blocks until then.
 * @returns the caller's to close
 */
export function takeDescriptors(native: Native, socket: number, count: number): number[] {
  const taken: number[] = [];
  while (taken.length < count) {
    const { fds, payload } = native.receiveDescriptors(socket, Math.min(maximumAtOnce, count - taken.length));
    if (payload.length === 0) throw new Error(`Cannot receive descriptors: ${taken.length} of ${count} came`);
    taken.push(...fds);
  }
  return taken;
}
