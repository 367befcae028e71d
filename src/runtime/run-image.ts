import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { UsageError } from '../errors.ts';
import { waitFor } from '../fetch/wait-for.ts';
import type { ImageContent, OnManifest } from '../mount/image-content.ts';
import { type ServedImage, type ServeImageOptions, serveImage } from '../mount/serve-image.ts';
import type { StartCommand } from '../prefetch/predictor.ts';
import type { ProfileStore } from '../profile/profile-store.ts';
import { ContainerFolder } from './container-folder.ts';
import type { ContainerOptions } from './container-options.ts';
import { type ContainerProcess, containerProcess } from './container-process.ts';
import { ContainerSignals } from './container-signals.ts';
import { findRuntime, hasUnifiedCgroups, type Runtime, type RuntimeName } from './find-runtime.ts';
import { imageUser } from './image-user.ts';
import { type Privileges, privileges } from './privileges.ts';
import { mountRoot, unmountAll } from './root-file-system.ts';
import { deleteContainer, runContainer } from './run-container.ts';
import { runtimeConfig, stopSignal } from './runtime-config.ts';
import { saveRecording } from './save-recording.ts';
import { StartObserver, writeReport } from './start-report.ts';
import { sweepContainers } from './sweep.ts';

export interface RunImageOptions {
  /** Called once. */
  readonly open: (onManifest: OnManifest | undefined, signal: AbortSignal) => Promise<ImageContent>;
  /** How the image is served; its workers are the caller's while nothing is mounted. */
  readonly serve: Omit<ServeImageOptions, 'open' | 'mountPoint' | 'trace' | 'command'>;
  readonly container: ContainerOptions;
  /** Undefined: the first that works here. */
  readonly runtime: RuntimeName | undefined;
  /** Containers have their folders in it; made when missing. On a file system that overlayfs can write to. */
  readonly stateDir: string;
  /** Undefined: a random one. */
  readonly name: string | undefined;
  /** Whether all of the image is fetched before the container starts. */
  readonly eager: boolean;
  /** What is read becomes part of this profile. */
  readonly record: { readonly store: ProfileStore; readonly name: string } | undefined;
  /** Called when the image is mounted, before anything runs on it. */
  readonly onServed?: ((served: ServedImage) => void) | undefined;
  /** A file that gets a {@link StartReport} when the container has ended. */
  readonly report: string | undefined;
}

/** Also a host name, which has 64 bytes at most: gethostname(2). */
const containerName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/;

/**
 * Runs a container on an image that is fetched as it is read, served by this process, to the container's end. Signals
 * are the container's meanwhile. Afterwards nothing is left of it.
 *
 * @returns its exit status, 128 and the signal's number when one killed it
 * @throws {ContainerError} any code, when it never began
 * @throws what serveImage() throws
 */
export async function runImage(options: RunImageOptions): Promise<number> {
  const signals = new ContainerSignals();
  const observer = options.report === undefined ? undefined : new StartObserver();
  try {
    const allowed = privileges();
    const runtime = findRuntime(options.runtime);
    const folder = makeFolder(options.stateDir, options.name);
    try {
      writeHostFiles(folder, options.container);
      return await runIn(folder, { runtime, privileges: allowed, signals, observer, options });
    } finally {
      await folder.remove();
    }
  } finally {
    observer?.close();
    signals.close();
  }
}

interface Run {
  readonly runtime: Runtime;
  readonly privileges: Privileges;
  readonly signals: ContainerSignals;
  readonly observer: StartObserver | undefined;
  readonly options: RunImageOptions;
}

async function runIn(folder: ContainerFolder, run: Run): Promise<number> {
  const { observer, options, signals } = run;
  const served = await serveImage({
    ...options.serve,
    open: (onManifest) => options.open(onManifest, signals.cancelled),
    mountPoint: folder.at('image'),
    trace: options.record !== undefined,
    fill: options.eager ? { kind: 'eager' } : undefined,
    command: (image) => startCommand(containerProcess(image, options.container, folder.name)),
  });
  observer?.reached('mounted');
  options.onServed?.(served);
  try {
    await waitFor(served.fill.done, signals.cancelled);
    return await runServed(served, folder, run);
  } finally {
    observer?.reached('exit');
    if (options.record !== undefined) await saveRecording(served, options.record, options.serve.onFailure);
    await end(served, folder, run.runtime);
    if (observer !== undefined && options.report !== undefined)
      await writeReport(options.report, observer.report(served.content.image));
  }
}

async function runServed(
  served: ServedImage,
  folder: ContainerFolder,
  { runtime, privileges, signals, observer, options }: Run,
): Promise<number> {
  const image = served.content.image.config.process;
  const { container, stateDir } = options;
  const process = containerProcess(image, container, folder.name);
  const stop = stopSignal(image.stopSignal);
  const [user] = await Promise.all([imageUser(served, container.user ?? image.user), mountRoot(folder, privileges)]);
  observer?.reached('rootfs');
  const config = runtimeConfig({
    process,
    user,
    options: container,
    rootfs: folder.at('rootfs'),
    hostname: folder.name,
    files: {
      '/etc/hosts': folder.at('hosts'),
      '/etc/hostname': folder.at('hostname'),
      '/etc/resolv.conf': folder.at('resolv.conf'),
    },
    unifiedCgroups: hasUnifiedCgroups(),
    privileges,
  });
  writeFileSync(folder.at('config.json'), JSON.stringify(config));
  signals.cancelled.throwIfAborted();
  const running = runContainer(runtime, folder, container.interactive);
  observer?.reached('runtime');
  signals.passTo(running.process, stop, () => void deleteContainer(runtime, folder));
  // Wrecks of others: their removal is nothing that a start has to wait for.
  const [status] = await Promise.all([running.ended, sweepContainers(realpathSync(stateDir), runtime)]);
  return status;
}

function startCommand({ args, env, cwd }: ContainerProcess): StartCommand {
  return { args, environment: env, workingDirectory: cwd };
}

/** A runtime that ended well keeps no state, and asking it costs more than looking. */
async function end(served: ServedImage, folder: ContainerFolder, runtime: Runtime): Promise<void> {
  if (readdirSync(folder.at('state')).length > 0) await deleteContainer(runtime, folder);
  await unmountAll(folder);
  await served.ended;
}

function makeFolder(stateDir: string, name = randomBytes(6).toString('hex')): ContainerFolder {
  if (!containerName.test(name)) {
    throw new UsageError(
      'SLUICE_OPTION_INVALID',
      `Cannot use name "${name}": want up to 64 letters, digits, "_", "." and "-"`,
    );
  }
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const folder = new ContainerFolder(realpathSync(stateDir), name);
  folder.create();
  return folder;
}

/** The files that tell a container who it is and whom it can ask. Without a network there is nobody to ask. */
function writeHostFiles(folder: ContainerFolder, { network }: ContainerOptions): void {
  writeFileSync(folder.at('hostname'), `${folder.name}\n`);
  writeFileSync(folder.at('hosts'), `127.0.0.1\tlocalhost ${folder.name}\n::1\tlocalhost ip6-localhost ip6-loopback\n`);
  writeFileSync(folder.at('resolv.conf'), network === 'host' ? hostResolvers() : '');
}

function hostResolvers(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return '';
  }
}
