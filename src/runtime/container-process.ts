import { UsageError } from '../errors.ts';
import type { ProcessConfig } from '../oci/config.ts';
import type { ContainerOptions } from './container-options.ts';

/** What is executed in a container, and how. */
export interface ContainerProcess {
  /** Not empty. */
  readonly args: readonly string[];
  /** `NAME=value`, no name twice. */
  readonly env: readonly string[];
  /** Absolute. */
  readonly cwd: string;
}

/** What images rely on when they name none. Source: OCI image-spec 1.1, config.md leaves it open; Docker and Podman agree. */
const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * The process of a container, by the rules of `docker run`.
 *
 * @param hostname - becomes HOSTNAME, unless image or caller set it
 * @throws {UsageError} SLUICE_OPTION_INVALID when neither image nor caller say what to run, or a working directory is
 *   relative
 */
export function containerProcess(image: ProcessConfig, options: ContainerOptions, hostname: string): ContainerProcess {
  const args = commandLine(image, options);
  if (args.length === 0) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot run image: it names no command, and none was given');
  }
  const cwd = options.workingDirectory ?? image.workingDirectory;
  if (!cwd.startsWith('/')) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot start in "${cwd}": a working directory begins with "/"`);
  }
  const terminal = options.terminal ? ['TERM=xterm'] : [];
  const env = lastOfEach([
    defaultPath,
    `HOSTNAME=${hostname}`,
    ...terminal,
    ...image.environment,
    ...options.environment,
  ]);
  return { args, env, cwd };
}

/** An entrypoint of the caller's takes the place of the image's, and of the command that was meant for that one. */
function commandLine(image: ProcessConfig, { entrypoint, command }: ContainerOptions): readonly string[] {
  if (entrypoint !== undefined) return [...(entrypoint === '' ? [] : [entrypoint]), ...command];
  return [...image.entrypoint, ...(command.length > 0 ? command : image.command)];
}

/** A later setting of a variable replaces an earlier one. */
function lastOfEach(environment: readonly string[]): string[] {
  const byName = new Map(environment.map((setting) => [setting.split('=', 1)[0] ?? '', setting]));
  return [...byName.values()];
}
