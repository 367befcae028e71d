import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import { convertImage } from '../convert/convert-image.ts';
import { defaultParameters } from '../convert/parameters.ts';
import type { ConvertSummary } from '../convert/summary.ts';
import { type ChunkFetched, fetchChannels } from '../fetch/channels.ts';
import { openImage } from '../image/open-image.ts';
import type { ImageSource } from '../oci/image.ts';
import { openSource, openTarget } from '../transport/open.ts';
import { placeOf, visibleChunks } from './chunk-facts.ts';
import { firstResult } from './first-result.ts';
import { flipBit } from './flip-bit.ts';
import { pullImage } from './full-pull.ts';
import { type LazyImage, openLazily } from './lazy-image.ts';
import { type EmbeddedRegistry, startRegistry } from './registry.ts';
import { makeSampleImage, type SampleImage, type SampleStart } from './sample-image.ts';

export interface DemoOptions {
  /** Told what is going on, in words. */
  readonly report: (message: string) => void;
  /** Awaited at the end, with the image opened once more and everything still there. */
  readonly look?: ((result: DemoResult, place: DemoPlace) => Promise<void>) | undefined;
  readonly signal: AbortSignal;
}

/** Where to look. */
export interface DemoPlace {
  /** As in commands. */
  readonly source: string;
  readonly converted: string;
  /** Mounted, or where a few files were copied. */
  readonly root: string;
}

/** One way to the first result. */
export interface DemoStart {
  /** From nothing on this machine to the program's output. */
  readonly seconds: number;
  /** Everything the registry sent, bytes. */
  readonly fetched: number;
  /** What the program printed. */
  readonly result: string;
}

/** What the demo found out; sizes are bytes. */
export interface DemoResult {
  readonly image: Omit<SampleImage, 'start' | 'unread'>;
  readonly converted: { readonly size: number; readonly seconds: number };
  readonly pull: DemoStart;
  readonly lazy: DemoStart & {
    /** `fetched` of what the layers of the original take in the registry, 0 to 1. */
    readonly share: number;
    /** Why files were copied out instead of mounted; `undefined` when the image was mounted. */
    readonly notMounted?: string;
  };
  /** Content that two layers carry. */
  readonly repeated: { readonly notStoredAgain: number };
  /** Content that an upper layer removes, compressed. */
  readonly hidden: { readonly size: number; readonly fetched: number };
  readonly flippedBit: {
    readonly file: string;
    /** The error a reader got: `EIO` from a mount; `undefined` when there was none, and something is very wrong. */
    readonly refused: string | undefined;
    /** Whether the file could be read when the registry had the right bit again. */
    readonly readAfterwards: boolean;
  };
}

/**
 * Shows what sluice is for, on this machine alone: makes an image of what is here, pushes it to a registry of its own,
 * converts it, starts it lazily and by a full pull, and damages it.
 *
 * Everything it makes lies below one temporary folder and is gone when the promise settles, however it does.
 * @throws what `signal` was aborted with, and what any of it throws
 */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sluice-demo-'));
  try {
    const registry = await startRegistry(path.join(folder, 'registry'));
    try {
      return await new Demo(folder, registry, options).run();
    } finally {
      await registry.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

class Demo {
  readonly #folder: string;
  readonly #registry: EmbeddedRegistry;
  readonly #options: DemoOptions;
  readonly #source: string;
  readonly #converted: string;

  constructor(folder: string, registry: EmbeddedRegistry, options: DemoOptions) {
    this.#folder = folder;
    this.#registry = registry;
    this.#options = options;
    this.#source = `docker://${registry.host}/demo:1`;
    this.#converted = `docker://${registry.host}/demo:1-sluice`;
  }

  async run(): Promise<DemoResult> {
    const { report } = this.#options;
    report(`an empty registry listens on ${this.#registry.host}`);
    report('making an image of this machine’s Node, compiler, headers and documentation');
    const image = await this.#makeImage();
    report(`converting its ${image.layers} layers`);
    const meter = this.#meter();
    const summary = await this.#convert();
    const converted = { size: summary.targetSize, seconds: meter.seconds() };
    report('starting it by a full pull');
    const pull = await this.#startByPull(image);
    report('starting it lazily, with an empty cache');
    const { lazy, hiddenFetched } = await this.#startLazily(image);
    report('flipping one bit in the registry, and back');
    const flippedBit = await this.#damage(image);
    const { layers, size, unpackedSize, start } = image;
    const result: DemoResult = {
      image: { layers, size, unpackedSize },
      converted,
      pull,
      lazy,
      repeated: { notStoredAgain: summary.repeatedSize },
      hidden: { size: summary.hiddenSize, fetched: hiddenFetched },
      flippedBit,
    };
    await this.#look(result, start);
    return result;
  }

  async #look(result: DemoResult, start: SampleStart): Promise<void> {
    const { look } = this.#options;
    if (look === undefined) return;
    const image = await this.#openLazily(await this.#newFolder('look'), start);
    try {
      await look(result, { source: this.#source, converted: this.#converted, root: image.root });
    } finally {
      await image.close();
    }
  }

  async #makeImage(): Promise<SampleImage> {
    const target = openTarget(this.#source, {});
    try {
      return await makeSampleImage(target, await this.#newFolder('layers'), this.#options.signal);
    } finally {
      await target.close();
    }
  }

  async #convert(): Promise<ConvertSummary> {
    const workDirectory = await this.#newFolder('convert');
    const target = openTarget(this.#converted, {});
    try {
      return await withSource(this.#source, (source) =>
        convertImage({
          source,
          target,
          workDirectory,
          parameters: defaultParameters,
          signal: this.#options.signal,
        }),
      );
    } finally {
      await target.close();
    }
  }

  async #startByPull({ start }: SampleImage): Promise<DemoStart> {
    const folder = await this.#newFolder('pull');
    const meter = this.#meter();
    const root = await withSource(this.#source, (source) => pullImage(source, folder, this.#options.signal));
    const result = await firstResult(root, start, this.#options.signal);
    return { seconds: meter.seconds(), fetched: meter.fetched(), result };
  }

  async #startLazily({ size, start }: SampleImage): Promise<{ lazy: DemoResult['lazy']; hiddenFetched: number }> {
    const chunks: ChunkFetched[] = [];
    const note = (message: unknown): void => void chunks.push(message as ChunkFetched);
    fetchChannels.chunk.subscribe(note);
    try {
      const folder = await this.#newFolder('lazy');
      const meter = this.#meter();
      const image = await this.#openLazily(folder, start);
      let run: { seconds: number; result: string };
      try {
        const result = await firstResult(image.root, start, this.#options.signal);
        run = { seconds: meter.seconds(), result };
      } finally {
        await image.close();
      }
      // What was read ahead counts too.
      const fetched = meter.fetched();
      const { notMounted } = image;
      const lazy = { ...run, fetched, share: fetched / size, ...(notMounted === undefined ? {} : { notMounted }) };
      return { lazy, hiddenFetched: await this.#hiddenBytes(chunks) };
    } finally {
      fetchChannels.chunk.unsubscribe(note);
    }
  }

  async #hiddenBytes(chunks: readonly ChunkFetched[]): Promise<number> {
    const isVisible = visibleChunks(await this.#bootstrap());
    const hidden = chunks.filter(({ device, chunk }) => !isVisible(device, chunk));
    return hidden.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
  }

  async #damage({ start, unread }: SampleImage): Promise<DemoResult['flippedBit']> {
    const { blob, offset } = placeOf(await this.#bootstrap(), unread);
    const file = this.#registry.blobFile(blob);
    const folder = await this.#newFolder('damaged');
    const image = await this.#openLazily(folder, start);
    try {
      await flipBit(file, offset);
      const refused = await image.read(unread).then(
        () => undefined,
        (error: NodeJS.ErrnoException) => error.code,
      );
      await flipBit(file, offset);
      const bytes = await image.read(unread);
      const original = await readFile(unread);
      return { file: unread, refused, readAfterwards: original.equals(bytes) };
    } finally {
      await image.close();
    }
  }

  #openLazily(folder: string, { needed }: SampleStart): Promise<LazyImage> {
    return openLazily({ open: () => openSource(this.#converted, {}), folder, needed, signal: this.#options.signal });
  }

  async #bootstrap(): Promise<Bootstrap> {
    return (await withSource(this.#converted, (source) => openImage(source))).bootstrap;
  }

  async #newFolder(name: string): Promise<string> {
    const folder = path.join(this.#folder, name);
    await mkdir(folder);
    return folder;
  }

  /** Counts from now. */
  #meter(): { seconds(): number; fetched(): number } {
    const began = performance.now();
    const sent = this.#registry.sentBytes;
    return {
      seconds: () => (performance.now() - began) / 1000,
      fetched: () => this.#registry.sentBytes - sent,
    };
  }
}

async function withSource<Result>(text: string, use: (source: ImageSource) => Promise<Result>): Promise<Result> {
  const source = openSource(text, {});
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
