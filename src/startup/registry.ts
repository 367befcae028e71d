import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { FuseError } from '../errors.ts';
import { endProcess } from './child.ts';
import { partEnvironment } from './client-plan.ts';
import type { Link } from './link.ts';

/** The registry of a benchmark, at its end of a link. */
export interface BenchRegistry {
  readonly pid: number;
  /** For {@link RequestLog}. */
  readonly log: string;
  close(): Promise<void>;
}

/** Both registries write this when they can be asked. */
export const listeningMark = 'listening on';
const startMs = 15_000;

/**
 * Starts Debian's docker-registry where it is installed, else the embedded one.
 *
 * @param folder - for its content, which is there again for the next link; the caller removes it
 * @param embedded - words of the command that runs the embedded registry; its configuration's file is added to them
 * @throws {FuseError} SLUICE_BENCH_FAILED
 */
export async function startBenchRegistry(
  link: Link,
  folder: string,
  embedded: readonly string[],
  signal: AbortSignal,
): Promise<BenchRegistry> {
  mkdirSync(folder, { recursive: true });
  const log = path.join(folder, 'log');
  const program = findProgram('docker-registry');
  const configuration = path.join(folder, 'configuration.json');
  writeFileSync(configuration, JSON.stringify(configurationOf(link.registry, path.join(folder, 'data'))));
  const words = program === undefined ? [...embedded, configuration] : [program, 'serve', configuration];
  const [command, ...args] = link.server(...words);
  const fd = openSync(log, 'w');
  const child = spawn(command, args, { stdio: ['pipe', fd, fd], env: partEnvironment('registry') });
  closeSync(fd);
  let failure: string | undefined;
  child.on('error', (error) => {
    failure = error.message;
  });
  const end = performance.now() + startMs;
  while (!readFileSync(log, 'latin1').includes(listeningMark)) {
    if (child.exitCode !== null) failure ??= `it ended with ${child.exitCode}`;
    if (performance.now() > end) failure ??= `it does not listen after ${startMs / 1000} s`;
    if (failure === undefined && !signal.aborted) {
      await delay(20);
      continue;
    }
    await endProcess(child);
    signal.throwIfAborted();
    const said = readFileSync(log, 'latin1').trim().slice(-1000);
    throw new FuseError('SLUICE_BENCH_FAILED', `Cannot start the registry: ${failure}: ${said}`);
  }
  return { pid: child.pid ?? 0, log, close: () => endProcess(child) };
}

/** What a registry is told; JSON is YAML. Source: distribution, "Configuring a registry". */
export interface RegistryConfiguration {
  readonly storage: { readonly filesystem: { readonly rootdirectory: string } };
  readonly http: { readonly addr: string };
}

function configurationOf({ address, port }: Link['registry'], data: string): RegistryConfiguration {
  return {
    version: '0.1',
    // Its access log is written when a request is over; at this level it says when one begins.
    log: { level: 'debug', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: data }, delete: { enabled: true } },
    http: { addr: `${address}:${port}` },
  } as RegistryConfiguration;
}

function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(':')
    .map((folder) => path.join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
