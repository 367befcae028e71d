import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import type { RangeRequested } from '../../src/fetch/channels.ts';
import { openChunks } from '../../src/image/open-chunks.ts';
import { openImage } from '../../src/image/open-image.ts';
import { openContent } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { serveImage } from '../../src/mount/serve-image.ts';
import { BootstrapFiles } from '../../src/prefetch/image-files.ts';
import { type Prediction, Predictor, type StartCommand } from '../../src/prefetch/predictor.ts';
import { openSource } from '../../src/transport/open.ts';
import { realImages } from '../support/images.ts';
import { eventually } from '../support/process.ts';
import { runContainer } from '../support/runc.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { type ConvertedImage, convertedImage, slow } from './converted.ts';

const images = realImages();
const canRun = images !== undefined && isRoot() && has('runc');

async function predict(reference: string, change: (own: StartCommand) => StartCommand): Promise<Prediction[]> {
  const source = openSource(reference, {});
  try {
    const image = await openImage(source);
    const { process } = image.config;
    const args = [...process.entrypoint, ...process.command];
    const { chunks } = openChunks(source, image);
    const files = new BootstrapFiles(image.bootstrap, chunks, new AbortController().signal);
    const predictions: Prediction[] = [];
    const command = change({ ...process, args });
    await new Predictor(files, command, (prediction) => predictions.push(prediction)).start();
    return predictions;
  } finally {
    await source.close();
  }
}

/** The image's own loader, asked which files it would load for the program `$1`. */
const askLoader = `
  program=$(readlink -f "$(command -v "$1")")
  /lib64/ld-linux-x86-64.so.2 --list "$program" | while read -r name arrow path rest; do
    if [ "$arrow" = "=>" ]; then readlink -f "$path"; elif [ -e "$name" ]; then readlink -f "$name"; fi
  done`;

interface Start {
  readonly output: string;
  readonly bytes: number;
  /** Requests that a reader waited for from the beginning. */
  readonly demanded: number;
}

/** Runs the image's command, or another, on a cold mount. */
async function start({ reference, config }: ConvertedImage, prefetch: boolean, args?: string[]): Promise<Start> {
  let [bytes, demanded] = [0, 0];
  const count = (message: unknown): void => {
    const request = message as RangeRequested;
    bytes += request.bytes;
    if (request.priority === 'demand') demanded++;
  };
  return withTemporaryDirectory(async (directory) => {
    const mountPoint = path.join(await realpath(directory), 'mnt');
    await mkdir(mountPoint);
    const cache = ChunkCache.open(path.join(directory, 'cache'), { maximumBytes: 2 ** 32 });
    const source = openSource(reference, {});
    subscribe('sluice:fetch:request', count);
    const workers = new MountWorkers();
    const served = await serveImage({
      open: (onManifest) => openContent({ source, cache, onManifest }),
      mountPoint,
      files: cache.files,
      server: workers,
      prefetch,
      onFailure: (message) => console.warn(message),
    });
    try {
      const { output } = await runContainer(mountPoint, config.config, args === undefined ? {} : { args });
      return { output, bytes, demanded };
    } finally {
      unsubscribe('sluice:fetch:request', count);
      await eventually('the end of the mount', () => served.unmount().then(() => true));
      await workers.close();
      cache.close();
    }
  });
}

describe.skipIf(!canRun).each(['python', 'node', 'nginx', 'redis'])('prefetch of %s', slow, (tag) => {
  let image: ConvertedImage;

  beforeAll(async () => {
    image = await convertedImage(images?.layout ?? '', tag);
  });

  it.skipIf(process.arch !== 'x64')("predicts the libraries that the image's own loader loads", async () => {
    const program = [...(image.config.config.Entrypoint ?? []), ...(image.config.config.Cmd ?? [])][0] ?? '';
    const predictions = await predict(image.reference, (own) => ({ ...own, args: [program] }));
    const libraries = predictions.filter(({ reason }) => reason === 'library' || reason === 'interpreter');
    const { output } = await start(image, false, ['/bin/sh', '-c', askLoader, 'sh', program]);
    const truth = output.trim().split('\n');
    expect(truth.length).toBeGreaterThan(4);
    expect([...new Set(libraries.map(({ file }) => file.path))].sort()).toEqual(truth.sort());
  });
});

describe.skipIf(!canRun).each(['python', 'node'])('a start of %s', slow, (tag) => {
  it('waits for fewer requests, and fetches hardly more', async () => {
    const image = await convertedImage(images?.layout ?? '', tag);
    const demand = await start(image, false);
    const ahead = await start(image, true);
    console.log(
      `${tag}: ${demand.demanded} requests and ${demand.bytes} bytes -> ${ahead.demanded} and ${ahead.bytes}`,
    );
    expect(ahead.output).toBe(demand.output);
    expect(ahead.demanded).toBeLessThan(demand.demanded * 0.75);
    expect(ahead.bytes).toBeLessThan(demand.bytes * 1.1);
  });
});
