import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { defaultCapabilities } from '../../runtime/linux-defaults.ts';
import type { LaneContainer, LaneContext } from '../lane.ts';
import type { Workload } from '../workload.ts';
import { newContainerName, startContainer } from './container.ts';
import { runProgram, tryProgram } from './program.ts';

/** What umoci writes as config.json; the parts that change here. Source: OCI runtime-spec 1.0.2, config.md. */
interface BundleConfig {
  process: {
    terminal: boolean;
    args: string[];
    env: string[];
    capabilities: Record<string, readonly string[]>;
  };
  root: { path: string };
  linux: { namespaces: { type: string }[] };
}

/** Fetches an image into an OCI layout, which has it as `latest`. */
export async function fetchLayout(context: LaneContext, layout: string): Promise<void> {
  const source = `docker://${context.registry}/${context.repository}`;
  const temporary = ['--tmpdir', context.directory, '--insecure-policy'];
  const args = [...temporary, 'copy', '--quiet', '--src-tls-verify=false', source, `oci:${layout}:latest`];
  await runProgram('skopeo', args, { signal: context.signal });
}

/** Unpacks an image of {@link fetchLayout}: a new folder with `rootfs` and `config.json`. */
export async function unpackLayout(layout: string, bundle: string, signal: AbortSignal): Promise<void> {
  await runProgram('umoci', ['unpack', '--image', `${layout}:latest`, bundle], { signal });
}

/**
 * Makes the config.json of an unpacked image that of a workload: its command and environment, no terminal, and the
 * network of this process.
 * @param rootfs - absolute, or relative to the bundle
 */
export async function adaptBundle(bundle: string, workload: Workload, rootfs: string): Promise<void> {
  const file = path.join(bundle, 'config.json');
  const config = JSON.parse(await readFile(file, 'utf8')) as BundleConfig;
  const { process, root, linux } = config;
  process.terminal = false;
  process.capabilities = Object.fromEntries(
    ['bounding', 'effective', 'permitted'].map((set) => [set, defaultCapabilities]),
  );
  if (workload.command) process.args = [...workload.command];
  process.env.push(...Object.entries(workload.environment).map(([name, value]) => `${name}=${value}`));
  root.path = rootfs;
  linux.namespaces = linux.namespaces.filter(({ type }) => type !== 'network');
  await writeFile(file, JSON.stringify(config));
}

/** Runs a bundle with runc; its state is kept in the lane's folder. */
export function runBundle(
  context: LaneContext,
  bundle: string,
  times: { readonly pulledMs: number; readonly mountedMs: number },
): LaneContainer {
  const name = newContainerName();
  const runc = (...args: readonly string[]): string[] => ['--root', path.join(context.directory, 'runc'), ...args];
  return startContainer({
    program: 'runc',
    args: runc('run', '--bundle', bundle, name),
    ...times,
    kill: (signal) => tryProgram('runc', runc('kill', name, 'KILL'), { signal }),
    remove: (signal) => tryProgram('runc', runc('delete', '--force', name), { signal }),
  });
}
