import type { FileStore } from '../cache/file-store.ts';
import { UsageError } from '../errors.ts';
import type { ProcessConfig } from '../oci/config.ts';
import type { StartCommand } from '../prefetch/predictor.ts';
import { Prefetch } from '../prefetch/prefetch.ts';
import { failureReporter } from './failure-reporter.ts';
import { Fill, type FillOptions } from './fill.ts';
import { HotStart, type StartPatience } from './hot-start.ts';
import type { ImageContent, OnManifest } from './image-content.ts';
import { ImageMount } from './mount-image.ts';
import type { MountState } from './mount-state.ts';
import { MountStatus } from './mount-status.ts';
import type { MountWorkers } from './mount-workers.ts';
import type { ImageMountOptions, MountedImage } from './mounted-image.ts';

export interface ServeImageOptions {
  /** Opens the image; closed when the mount has ended, or could not be made. */
  readonly open: (onManifest: OnManifest | undefined) => Promise<ImageContent>;
  readonly mountPoint: string;
  /** Where the start's hot blob is kept. */
  readonly files: FileStore;
  /**
   * Who talks to the kernel: worker threads of ours, which stay the caller's, or libfuse (docs/drivers.md). Never another one than was
   * asked for.
   */
  readonly server: MountWorkers | 'libfuse';
  /** As for ImageMount: workers can. */
  readonly adopt?: { readonly fd: number } | undefined;
  /** Records what is read from the first read on. Workers can. */
  readonly trace?: boolean | undefined;
  /** Name of the image's profile to start by; `false` for none. Default: `default`. One that is missing is missed only in speed. */
  readonly profile?: string | false | undefined;
  /** How long to wait for the profile. Default: as long as it may take on a network that works. */
  readonly patience?: StartPatience | undefined;
  /** Where there is no profile, predicts what a start will read and fetches it before it is asked for. Default: true. */
  readonly prefetch?: boolean | undefined;
  /** What will be started on an image. Default: its own entrypoint and command. */
  readonly command?: ((image: ProcessConfig) => StartCommand) | undefined;
  /** Fetches the rest of the image as soon as it is mounted. Default: what is read is fetched, and nothing else. */
  readonly fill?: FillOptions | undefined;
  /** Told of every failed read, in words: image, file and reason. */
  readonly onFailure: (message: string) => void;
}

/** A mounted image, and what is known of it. */
export interface ServedImage extends MountedImage {
  readonly content: ImageContent;
  /** Not started unless that was asked for. */
  readonly fill: Fill;
  /** Now; once the mount has ended, as it was then. */
  state(): MountState;
}

/**
 * Mounts an image from wherever it is; returns when the mount answers. This process may serve other mounts besides.
 * @throws what openImage() and the driver throw; nothing is left behind then
 */
export async function serveImage(options: ServeImageOptions): Promise<ServedImage> {
  const { mountPoint, server, onFailure } = options;
  let content: ImageContent | undefined;
  let prefetch: Prefetch | undefined;
  const hotStart = hotStartOf(options);
  try {
    content = await options.open(hotStart?.onManifest);
    const { image, chunks } = content;
    const { bootstrap, reference } = image;
    const hot = await hotStart?.pages(bootstrap);
    if (options.prefetch !== false && hot === undefined) prefetch = startPrefetch(content, options.command);
    const onMiss = prefetch?.missed.bind(prefetch);
    const { trace: recorded, adopt } = options;
    let status: MountStatus | undefined;
    const onReadFailed = failureReporter(image, mountPoint, (text, error) => {
      status?.failed(text, error);
      onFailure(`${reference}: ${text}`);
    });
    const told = { onMiss, onReadFailed };
    const parts = { bootstrap, mountPoint, adopt, source: reference, trace: recorded, hot, ...told, ...chunks };
    const mount = server === 'libfuse' ? await startLibfuse(parts) : await ImageMount.start(parts, server);
    const fill = fillOf(content);
    const known = new MountStatus(content, mount, fill);
    status = known;
    if (options.fill !== undefined) fill.start(options.fill);
    const ended = mount.ended.finally(async () => {
      known.close();
      fill.close();
      hotStart?.close();
      prefetch?.close();
      await content?.close();
    });
    const { trace, fd, reads, release } = mount;
    return {
      ...{ content, fill, state: () => known.state() },
      ...{ trace, fd, reads, release, ended, mountPoint: mount.mountPoint },
      waiting: () => mount.waiting(),
      unmount: (how) => mount.unmount(how),
    };
  } catch (error) {
    hotStart?.close();
    prefetch?.close();
    await content?.close();
    throw error;
  }
}

function hotStartOf(options: ServeImageOptions): HotStart | undefined {
  const { files, profile, patience, trace, onFailure } = options;
  if (profile === false) return undefined;
  // Nobody asked for the default by name, and who records a profile need not have one.
  const isMissed = profile !== undefined && trace !== true;
  const onMissing = (reference: string, names: readonly string[]): void => {
    const others = names.length === 0 ? 'none' : names.join(', ');
    if (isMissed) onFailure(`${reference}: no profile "${profile}" is attached to it (there: ${others})`);
  };
  return new HotStart({ files, profile: profile ?? 'default', patience, onMissing });
}

function fillOf({ image: { reference }, chunks: { devices, prefetch, background }, local, cache }: ImageContent): Fill {
  return new Fill({ reference, devices, local, chunks: { eager: prefetch, background }, cache });
}

function startPrefetch(
  { image, chunks }: ImageContent,
  command: (image: ProcessConfig) => StartCommand = ownCommand,
): Prefetch {
  const { bootstrap, config } = image;
  return Prefetch.start({
    bootstrap,
    chunks: chunks.prefetch,
    devices: chunks.devices,
    command: command(config.process),
  });
}

function ownCommand({ entrypoint, command, environment, workingDirectory }: ProcessConfig): StartCommand {
  return { args: [...entrypoint, ...command], environment, workingDirectory };
}

async function startLibfuse(parts: ImageMountOptions): Promise<MountedImage> {
  if (parts.trace === true)
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot record reads: driver libfuse has no way');
  const { LibfuseMount } = await import('./libfuse-mount.ts');
  return LibfuseMount.start(parts);
}
