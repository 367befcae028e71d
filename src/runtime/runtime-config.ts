import { constants } from 'node:os';
import { UsageError } from '../errors.ts';
import type { ContainerOptions } from './container-options.ts';
import type { ContainerProcess } from './container-process.ts';
import type { ContainerUser } from './container-user.ts';
import {
  defaultCapabilities,
  defaultMounts,
  maskedPaths,
  namespacedMounts,
  type RuntimeMount,
  readonlyPaths,
} from './linux-defaults.ts';
import type { Privileges } from './privileges.ts';

/** What a container's configuration is made from. */
export interface RuntimeConfigParts {
  readonly process: ContainerProcess;
  readonly user: ContainerUser;
  readonly options: ContainerOptions;
  /** Absolute. */
  readonly rootfs: string;
  readonly hostname: string;
  /** Files of this machine that take the place of the image's, by their path in the container. */
  readonly files: Readonly<Record<string, string>>;
  /** Whether the control groups of this machine are one hierarchy of version 2; then the container sees its own alone. */
  readonly unifiedCgroups: boolean;
  readonly privileges: Privileges;
}

/** The parts of config.json that are used. Source: OCI runtime-spec 1.0.2, config.md and config-linux.md. */
export interface RuntimeConfig {
  readonly ociVersion: string;
  readonly hostname: string;
  readonly process: {
    readonly terminal: boolean;
    readonly user: ContainerUser;
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: string;
    readonly capabilities: Readonly<Record<'bounding' | 'effective' | 'permitted', readonly string[]>>;
    readonly noNewPrivileges: boolean;
  };
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly mounts: readonly RuntimeMount[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly resources?: { readonly devices: readonly { readonly allow: boolean; readonly access: string }[] };
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
  };
}

/** The OCI runtime's configuration of a container. Pure. */
export function runtimeConfig(parts: RuntimeConfigParts): RuntimeConfig {
  const { process, user, options, rootfs, hostname, files, unifiedCgroups, privileges } = parts;
  const capabilities = {
    bounding: defaultCapabilities,
    effective: defaultCapabilities,
    permitted: defaultCapabilities,
  };
  const namespaces = ['pid', 'ipc', 'uts', 'mount'];
  if (options.network === 'none') namespaces.push('network');
  if (unifiedCgroups) namespaces.push('cgroup');
  return {
    ociVersion: '1.0.2',
    hostname,
    process: { terminal: options.terminal, user, ...process, capabilities, noNewPrivileges: false },
    root: { path: rootfs, readonly: options.readOnly },
    mounts: [
      ...(privileges === 'full' ? defaultMounts : namespacedMounts),
      ...Object.entries(files).map(([destination, source]) => bind(source, destination, false)),
      ...options.volumes.map(({ source, destination, readOnly }) => bind(source, destination, readOnly)),
    ],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      // The runtime allows those every container needs: null, zero, full, random, urandom, tty, console, ptmx.
      ...(privileges === 'full' ? { resources: { devices: [{ allow: false, access: 'rwm' }] } } : {}),
      maskedPaths,
      readonlyPaths,
    },
  };
}

function bind(source: string, destination: string, readOnly: boolean): RuntimeMount {
  return { destination, type: 'bind', source, options: ['rbind', 'rprivate', readOnly ? 'ro' : 'rw'] };
}

/**
 * The signal that asks a container to end: the image's StopSignal, a name or a number.
 * @throws {UsageError} SLUICE_OPTION_INVALID for one that Linux does not have
 */
export function stopSignal(text: string | undefined): NodeJS.Signals {
  if (text === undefined || text === '') return 'SIGTERM';
  const signals = Object.entries(constants.signals);
  const name = text.startsWith('SIG') ? text : `SIG${text}`;
  const found = signals.find(([known, number]) => known === name || String(number) === text);
  if (found !== undefined) return found[0] as NodeJS.Signals;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot stop a container by "${text}": there is no such signal`);
}
