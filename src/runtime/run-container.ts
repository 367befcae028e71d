import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { ContainerError } from '../errors.ts';
import { runTool } from '../fuse/run-tool.ts';
import type { ContainerFolder } from './container-folder.ts';
import type { Runtime } from './find-runtime.ts';

/** A container on its way up, or running. */
export interface RunningContainer {
  /** The runtime's process, which passes on signals and ends with the container. */
  readonly process: ChildProcess;
  /**
   * Its exit status, 128 and the signal's number when one killed it.
   * @throws {ContainerError} SLUICE_RUNTIME_FAILED when it never began, with the runtime's reason
   */
  readonly ended: Promise<number>;
}

/** Longest log of a runtime that is read; a runtime that fails writes a few lines. */
const maximumLogBytes = 1 << 20;

/**
 * Runs the container whose configuration and root file system lie in `folder`. Its standard streams are this process's
 * own descriptors: nothing is copied.
 *
 * @param interactive - whether standard input is passed on, too
 */
export function runContainer(runtime: Runtime, folder: ContainerFolder, interactive: boolean): RunningContainer {
  const process = spawn(runtime.program, [...globalArguments(folder), 'run', '--bundle', folder.path, folder.name], {
    stdio: [interactive ? 'inherit' : 'ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<number>((resolve, reject) => {
    process.on('error', (cause) => reject(failed(folder, cause.message)));
    process.on('close', (status, signal) => resolve(status ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
  return { process, ended: ended.then((status) => checkStatus(folder, status)) };
}

/** Kills what is left of a container, and removes what the runtime keeps of it. Nothing happens when there is nothing. */
export async function deleteContainer(runtime: Runtime, folder: ContainerFolder): Promise<void> {
  await runTool(runtime.program, [...globalArguments(folder), 'delete', '--force', folder.name]);
}

function globalArguments(folder: ContainerFolder): string[] {
  return ['--root', folder.at('state'), '--log', folder.at('runtime.log'), '--log-format', 'json'];
}

/** A runtime that fails says so in its log, and takes an exit status that the container might have, too. */
async function checkStatus(folder: ContainerFolder, status: number): Promise<number> {
  if (status === 0) return status;
  const log = await readFile(folder.at('runtime.log'), 'utf8').catch(() => '');
  const reason = lastError(log.slice(0, maximumLogBytes));
  if (reason !== undefined) throw failed(folder, reason);
  return status;
}

/** @param log - a JSON object a line, as runc and crun write it */
export function lastError(log: string): string | undefined {
  const messages = log.split('\n').flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      return (level === 'error' || level === 'fatal') && typeof msg === 'string' ? [msg] : [];
    } catch {
      return [];
    }
  });
  return messages.at(-1);
}

function failed(folder: ContainerFolder, reason: string): ContainerError {
  return new ContainerError('SLUICE_RUNTIME_FAILED', `Cannot start container "${folder.name}": ${reason}`);
}
