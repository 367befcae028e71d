import type { ContainerOptions } from '../../src/runtime/container-options.ts';

/** Those of a container that was asked for nothing special. */
export function containerOptions(changes: Partial<ContainerOptions>): ContainerOptions {
  return {
    command: [],
    entrypoint: undefined,
    environment: [],
    workingDirectory: undefined,
    user: undefined,
    volumes: [],
    network: 'host',
    terminal: false,
    interactive: false,
    readOnly: false,
    ...changes,
  };
}
