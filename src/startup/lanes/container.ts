import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { endProcess } from '../child.ts';
import type { LaneContainer } from '../lane.ts';
import { programEnvironment } from './program.ts';

/** Lines nobody has read yet are kept up to this many; a container that never stops writing must not fill the memory. */
const maximumLines = 10_000;

/** How long a container may take to end once it was told to, ms. */
const graceMs = 5000;

/** Removing a container takes no longer than this, ms; what is left then goes with the lane's daemons. */
const removeMs = 60_000;

let serial = 0;

/** A name no other container of this machine has. */
export function newContainerName(): string {
  serial += 1;
  return `sluice-bench-${process.pid}-${serial}`;
}

/** How a container is started in the foreground, and got rid of. */
export interface ContainerCommand {
  /** Its streams are the container's, and its exit status is. */
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** As in {@link LaneContainer}; undefined where the two are one step. */
  readonly pulledMs: number | undefined;
  readonly mountedMs: number | undefined;
  /**
   * Kills what runs in it; may fail. The foreground program is given time to end after it.
   * @param child - the foreground program
   */
  readonly kill: (signal: AbortSignal, child: ChildProcess) => Promise<void>;
  /** Removes what the container leaves, also when the foreground program could not. */
  readonly remove: (signal: AbortSignal) => Promise<void>;
}

/** Starts the program that runs the container; returns before the container runs. */
export function startContainer(command: ContainerCommand): LaneContainer {
  const child = spawn(command.program, command.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: programEnvironment(command.environment),
  });
  const lines = new PassThrough({ objectMode: true, highWaterMark: maximumLines });
  const add = (line: string): void => {
    if (!lines.destroyed && lines.writableLength < maximumLines) lines.write(line);
  };
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', add);
  const ended = new Promise<number>((resolve) => {
    child.on('error', (error) => add(error.message));
    child.on('close', (status) => {
      lines.end();
      resolve(status ?? -1);
    });
  });
  return {
    lines,
    ended,
    pulledMs: () => command.pulledMs,
    mountedMs: () => command.mountedMs,
    stop: () => stopContainer(command, child, ended),
  };
}

async function stopContainer(command: ContainerCommand, child: ChildProcess, ended: Promise<number>): Promise<void> {
  const signal = AbortSignal.timeout(removeMs);
  if (child.exitCode === null && child.signalCode === null) {
    await command.kill(signal, child);
    await Promise.race([ended, sleep(graceMs, undefined, { ref: false })]);
    await endProcess(child);
  }
  await ended;
  await command.remove(signal);
}
