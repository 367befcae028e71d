import { writeFileSync } from 'node:fs';
import { findMount } from './mount-info.ts';

/** As much as one request can carry. Measured: 2.2 → 3.4 GB/s of sequential reads against the default of 128 KiB. */
export const defaultReadaheadKib = 1024;

/**
 * How much the kernel reads ahead on a mount. Files that are open keep what was set when they were opened.
 *
 * It takes root and a writable /sys to set it; without, reads are right, and slower.
 * Source: Documentation/ABI/testing/sysfs-class-bdi, `read_ahead_kb`.
 */
export class Readahead {
  readonly #file: string | undefined;
  #kib: number;
  #isSuspended = false;

  /**
   * @param mountPoint - canonical, mounted
   * @param kib - what to set
   */
  constructor(mountPoint: string, kib: number) {
    const mount = findMount(mountPoint);
    this.#file = mount && `/sys/class/bdi/${mount.device}/read_ahead_kb`;
    this.#kib = kib;
    this.set(kib);
  }

  /** While it is suspended, this is what resume() sets. @returns false when this process may not */
  set(kib: number): boolean {
    this.#kib = kib;
    return this.#write(this.#isSuspended ? 0 : kib);
  }

  /** No readahead, until resume(). @returns false when this process may not */
  suspend(): boolean {
    this.#isSuspended = true;
    return this.#write(0);
  }

  resume(): void {
    this.#isSuspended = false;
    this.#write(this.#kib);
  }

  #write(kib: number): boolean {
    if (this.#file === undefined) return false;
    try {
      writeFileSync(this.#file, `${kib}\n`);
      return true;
    } catch {
      return false;
    }
  }
}
