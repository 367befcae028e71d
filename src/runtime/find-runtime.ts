import { existsSync, readFileSync } from 'node:fs';
import { ContainerError } from '../errors.ts';
import { findProgram } from './find-program.ts';

/** The programs that run containers, the quicker to start first. */
const runtimeNames = ['crun', 'runc'] as const;
export type RuntimeName = (typeof runtimeNames)[number];

/** A program that runs containers. */
export interface Runtime {
  readonly name: RuntimeName;
  /** Absolute. */
  readonly program: string;
}

/**
 * Finds a runtime that works on this machine.
 *
 * @param wanted - the only one that will do; undefined: the quickest that is there and works
 * @throws {ContainerError} SLUICE_RUNTIME_MISSING, which says what each lacks
 */
export function findRuntime(wanted?: RuntimeName): Runtime {
  const reasons: string[] = [];
  for (const name of wanted === undefined ? runtimeNames : [wanted]) {
    const program = findProgram(name);
    const reason = program === undefined ? `${name} is not installed` : unusable(name);
    if (program !== undefined && reason === undefined) return { name, program };
    reasons.push(`${reason}`);
  }
  throw new ContainerError('SLUICE_RUNTIME_MISSING', `Cannot run containers: ${reasons.join('; ')}`);
}

/** Whether one hierarchy of version 2 holds all control groups. Source: cgroups(7). */
export function hasUnifiedCgroups(): boolean {
  return existsSync('/sys/fs/cgroup/cgroup.controllers');
}

/** crun ends with "drop all controllers from cgroupv2" where version 1 and 2 share the controllers between them. */
function unusable(name: RuntimeName): string | undefined {
  if (name !== 'crun' || readIfThere('/sys/fs/cgroup/unified/cgroup.controllers').trim() === '') return undefined;
  return 'crun refuses the hybrid control groups of this machine: use runc, or unmount /sys/fs/cgroup/unified';
}

function readIfThere(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
