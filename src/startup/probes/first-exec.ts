import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Watches for the moment a container's own program begins to run: a process that was not there before, in our network
 * namespace but not in ours for mounts and processes, which is no longer the runtime preparing them. Nobody is asked
 * which process it is, so that all lanes are measured alike.
 */
export class FirstExec {
  readonly #before = new Set(pids());
  readonly #network = namespaceOf('self', 'net');
  readonly #mounts = namespaceOf('self', 'mnt');
  readonly #processes = namespaceOf('self', 'pid');

  /** Whether such a process is there now. Takes some 0.2 ms. */
  seen(): boolean {
    return pids().some((pid) => !this.#before.has(pid) && this.#isContainer(pid));
  }

  #isContainer(pid: string): boolean {
    try {
      // Most processes fail one of the first two comparisons.
      return (
        namespaceOf(pid, 'mnt') !== this.#mounts &&
        namespaceOf(pid, 'net') === this.#network &&
        namespaceOf(pid, 'pid') !== this.#processes &&
        !isRuntime(readlinkSync(`/proc/${pid}/exe`), readFileSync(`/proc/${pid}/comm`, 'latin1'))
      );
    } catch {
      // It has ended meanwhile.
      return false;
    }
  }
}

/**
 * runc and crun run a copy of themselves, in memory or unlinked, inside of the container before they become its program;
 * runc's is called `runc:[2:INIT]`.
 */
export function isRuntime(program: string, name: string): boolean {
  return /^(?:runc|crun)/.test(name) || /(?:^|\/)(?:memfd:|runc|crun)/.test(program) || program.endsWith(' (deleted)');
}

function namespaceOf(pid: string, kind: 'mnt' | 'net' | 'pid'): string {
  return readlinkSync(`/proc/${pid}/ns/${kind}`);
}

function pids(): string[] {
  return readdirSync('/proc').filter((name) => /^\d/.test(name));
}
