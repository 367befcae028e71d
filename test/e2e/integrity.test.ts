import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cacheChannels } from '../../src/cache/channels.ts';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { SluiceError } from '../../src/errors.ts';
import type { OpenImage } from '../../src/image/open-image.ts';
import { digestHex, parseDigest } from '../../src/oci/digest.ts';
import { loadZstd } from '../../src/zstd/codec.ts';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, type TarMember, tarBytes } from '../support/image.ts';
import { mounts } from '../support/mounts.ts';
import { type Random, randomNumbers, seed } from '../support/random.ts';
import { type ImageInProcess, withImage } from '../support/read-image.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { errorCode, sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';

/** Cases of each kind; `SLUICE_FUZZ_CASES` multiplies them. */
const cases = 40 * Number(process.env.SLUICE_FUZZ_CASES ?? 1);

const sizes = [1, 100, 4096, 4097, 32_768, 40_000, 131_073, 300_000];
/** Path → content, of three layers; the last one hides a file of the first. */
const layers: readonly (readonly (readonly [string, Buffer])[])[] = [0, 1, 2].map((layer) =>
  sizes.map((size, i) => {
    const random = Buffer.from(content(`${layer} ${i}`, size));
    const bytes = i % 2 === 0 ? random : Buffer.alloc(size, `layer ${layer} says ${i} `);
    return [i === 6 ? 'changed' : `file-${layer}-${i}`, bytes] as const;
  }),
);
const files = new Map(layers.flat());

/** Too large for the manifest to embed, so that it is fetched and kept, as everything else. */
const config = { Labels: { long: 'x'.repeat(9000) } };

let directory: string;
let layout: string;
beforeAll(async () => {
  await loadZstd();
  directory = makeTemporaryDirectory();
  const tars = layers.map((layer) => tarBytes(layer.map(([name, bytes]): TarMember => ({ name, content: bytes }))));
  const image = memoryImage(await Promise.all(tars), { compression: 'none', config });
  await convertLayers(image, directory);
  layout = path.join(directory, 'layout');
});
afterAll(() => removeTemporaryDirectory(directory));

const openCache = (folder: string): ChunkCache => ChunkCache.open(folder, { maximumBytes: 2 ** 30 });

/** Reads every file. What is read is right, or else an error of ours: nothing third. */
async function readEverything({ read }: ImageInProcess): Promise<SluiceError[]> {
  const errors: SluiceError[] = [];
  for (const [name, expected] of files) {
    try {
      expect((await read(name)).equals(expected), `content of ${name}, seed ${seed}`).toBe(true);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      errors.push(error);
    }
  }
  return errors;
}

/** Opens and reads. @returns what failed: nothing where the damage makes no difference */
function readDamaged(reference: string, cache?: ChunkCache): Promise<SluiceError[]> {
  return withImage(reference, readEverything, cache).catch((error: unknown) => {
    if (error instanceof SluiceError) return [error];
    throw error;
  });
}

/** Flips one bit of a file, and back when `use` is done. */
async function withFlippedBit<Result>(
  file: string,
  random: Random,
  use: (at: number) => Promise<Result>,
): Promise<Result> {
  const sound = await readFile(file);
  const at = random(sound.length);
  const damaged = Buffer.from(sound);
  damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
  await writeFile(file, damaged);
  try {
    return await use(at);
  } finally {
    await writeFile(file, sound);
  }
}

/** Every regular file below a folder. */
function filesBelow(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.map((name) => path.join(folder, name)).filter((file) => statSync(file).isFile());
}

/** The chunk that has a byte of a blob; -1 for its metadata. */
function chunkAt(image: OpenImage, device: number, at: number): number {
  const map = image.bootstrap.devices[device]!.chunks;
  for (let chunk = 0; chunk < map.count; chunk++) {
    const start = map.compressedOffset(chunk);
    if (at >= start && at < start + map.compressedLength(chunk)) return chunk;
  }
  return -1;
}

describe('a flipped bit in the place an image is read from', () => {
  const blobFile = (folder: string, digest: string): string =>
    path.join(folder, 'blobs', 'sha256', digestHex(parseDigest(digest)));
  const layoutReference = (folder: string): string => `oci:${folder}:converted`;

  it('reads right when nothing is flipped', async () => {
    expect(await readDamaged(layoutReference(layout))).toEqual([]);
  });

  it('of a blob fails the reads of one chunk, and says which', async () => {
    const random = randomNumbers(`blobs ${seed}`);
    const reference = layoutReference(layout);
    let failed = 0;
    await withImage(reference, async ({ image }) => {
      for (let i = 0; i < cases; i++) {
        const device = random(image.blobs.length);
        const { digest } = image.blobs[device]!;
        await withFlippedBit(blobFile(layout, digest), random, async (at) => {
          const errors = await readDamaged(reference);
          const chunk = chunkAt(image, device, at);
          for (const error of errors) {
            failed++;
            expect(error).toMatchObject({
              code: 'SLUICE_CHUNK_DIGEST_MISMATCH',
              facts: { image: reference, blob: digest, chunk },
            });
            expect(error.message).toContain(digest);
          }
          if (chunk === -1) expect(errors).toEqual([]);
        });
      }
    });
    expect(failed).toBeGreaterThan(cases / 2);
  });

  it.each(['manifest', 'config', 'bootstrap layer'])('of the %s opens nothing', async (what) => {
    const random = randomNumbers(`${what} ${seed}`);
    const reference = layoutReference(layout);
    const digest = await withImage(reference, async ({ image }) => {
      const descriptors = {
        manifest: image.raw.descriptor,
        config: image.manifest.config,
        'bootstrap layer': image.bootstrapLayer,
      };
      return descriptors[what as keyof typeof descriptors].digest;
    });
    for (let i = 0; i < cases; i++) {
      await withFlippedBit(blobFile(layout, digest), random, async () => {
        const [error] = await readDamaged(reference);
        expect(error).toBeInstanceOf(SluiceError);
        expect(error?.message).toMatch(what === 'bootstrap layer' ? /bootstrap|zstd|tar/ : new RegExp(digest));
      });
    }
  });

  it.each(['index.json', 'oci-layout'])('of %s, which no digest covers, opens the image or nothing', async (name) => {
    const random = randomNumbers(`${name} ${seed}`);
    for (let i = 0; i < cases; i++) {
      await withFlippedBit(path.join(layout, name), random, () => readDamaged(layoutReference(layout)));
    }
  });
});

describe('a flipped bit in the cache', () => {
  let cacheFolder: string;
  const reference = (): string => `oci:${layout}:converted`;

  beforeAll(async () => {
    cacheFolder = path.join(directory, 'cache');
    const cache = openCache(cacheFolder);
    expect(await readDamaged(reference(), cache)).toEqual([]);
    cache.close();
  });

  const cacheFiles = (kind: string): string[] =>
    filesBelow(cacheFolder).filter((file) => path.basename(file).startsWith(kind) && statSync(file).size > 0);

  it.each(['data', 'state', 'manifest', 'config', 'bootstrap'])('in a file of kind "%s" is mended', async (kind) => {
    const random = randomNumbers(`cache ${kind} ${seed}`);
    const candidates = cacheFiles(kind);
    expect(candidates.length).toBeGreaterThan(0);
    let bad = 0;
    const count = (message: unknown): void => {
      if (!(message as { good: boolean }).good) bad++;
    };
    cacheChannels.verified.subscribe(count);
    try {
      for (let i = 0; i < cases / 4; i++) {
        const file = candidates[random(candidates.length)]!;
        const sound = await readFile(file);
        const damaged = Buffer.from(sound);
        let at = random(damaged.length);
        // What is zero may be a hole: a chunk that no file of the image shows, and nobody reads.
        while (kind === 'data' && damaged[at] === 0) at = random(damaged.length);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
        await writeFile(file, damaged);
        const cache = openCache(cacheFolder);
        expect(await readDamaged(reference(), cache), `seed ${seed}`).toEqual([]);
        cache.close();
        if (kind !== 'state') expect((await readFile(file)).equals(sound), `${file} at ${at}, seed ${seed}`).toBe(true);
      }
    } finally {
      cacheChannels.verified.unsubscribe(count);
    }
    if (kind === 'data') expect(bad).toBe(cases / 4);
  });

  it('in a state file is harmless while the cache is in use', async () => {
    const random = randomNumbers(`state in use ${seed}`);
    const cache = openCache(cacheFolder);
    await withImage(
      reference(),
      async (open) => {
        for (let i = 0; i < cases / 4; i++) {
          const states = cacheFiles('state');
          await flipInPlace(states[random(states.length)]!, random);
          expect(await readEverything(open), `seed ${seed}`).toEqual([]);
        }
      },
      cache,
    );
    cache.close();
  });

  it('in data is found before its first use, also with the cache open', async () => {
    const random = randomNumbers(`data in use ${seed}`);
    for (let i = 0; i < cases / 8; i++) {
      const cache = openCache(cacheFolder);
      await withImage(
        reference(),
        async (open) => {
          const data = cacheFiles('data');
          for (let flips = 0; flips < 20; flips++) await flipInPlace(data[random(data.length)]!, random);
          expect(await readEverything(open), `seed ${seed}`).toEqual([]);
        },
        cache,
      );
      cache.close();
    }
  });

  it('together with the same chunk damaged in the source is an error, and not the cached bytes', async () => {
    const random = randomNumbers(`both ${seed}`);
    await withImage(reference(), async ({ image }) => {
      for (let i = 0; i < cases / 8; i++) {
        const device = random(image.blobs.length);
        const hex = digestHex(image.blobs[device]!.digest);
        const data = cacheFiles('data').find((file) => file.includes(hex))!;
        const sound = await readFile(data);
        await writeFile(
          data,
          sound.map((byte) => byte ^ 1),
        );
        await withFlippedBit(path.join(layout, 'blobs', 'sha256', hex), random, async (at) => {
          const cache = openCache(cacheFolder);
          const errors = await readDamaged(reference(), cache);
          cache.close();
          const chunk = chunkAt(image, device, at);
          for (const error of errors)
            expect(error).toMatchObject({ code: 'SLUICE_CHUNK_DIGEST_MISMATCH', facts: { chunk } });
        });
        await writeFile(data, sound);
      }
    });
  });
});

/** Flips a bit without a new inode: what a disk does. */
async function flipInPlace(file: string, random: Random): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const at = random((await handle.stat()).size);
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, at);
    byte[0] = (byte[0] ?? 0) ^ (1 << random(8));
    await handle.write(byte, 0, 1, at);
  } finally {
    await handle.close();
  }
}

describe.skipIf(!isRoot())('a mounted image', () => {
  let registry: TestRegistry;
  let reference: string;
  let configDigest: string;
  beforeAll(async () => {
    registry = await TestRegistry.start();
    const target = `docker://${registry.host}/image:1`;
    const tars = layers.map((layer) => tarBytes(layer.map(([name, bytes]): TarMember => ({ name, content: bytes }))));
    const image = memoryImage(await Promise.all(tars), { compression: 'none', config });
    const { summary } = await convertLayers(image, path.join(directory, 'mounted'), { target });
    reference = `docker://${registry.host}/image@${summary.manifest}`;
    const manifest = await fetch(`${registry.url}/v2/image/manifests/${summary.manifest}`);
    configDigest = ((await manifest.json()) as { config: { digest: string } }).config.digest;
  });
  afterAll(() => registry?.close());

  async function withMounted<Result>(
    name: string,
    use: (mount: SluiceMount, log: () => string) => Promise<Result>,
  ): Promise<Result> {
    const cache = path.join(directory, `${name}-cache`);
    const log = path.join(directory, `${name}.log`);
    const args = ['--cache-dir', cache, '--log', log, '--on-failure', 'wait:2s', reference];
    const mount = await SluiceMount.start(args, path.join(directory, `${name}-mount`));
    try {
      return await use(mount, () => readFileSync(log, 'utf8'));
    } finally {
      await mount.stop();
    }
  }

  const expectAll = async (mount: SluiceMount): Promise<void> => {
    for (const [name, expected] of files) expect((await readFile(mount.at(name))).equals(expected), name).toBe(true);
  };

  it('answers EIO to a read of damaged bytes, logs image, file, blob and chunk, and reads right once they are', () =>
    withMounted('registry', async (mount, log) => {
      registry.faults.add({ on: 'blob', times: 1e9, fault: { kind: 'corrupt', at: 20 } });
      let failed = 0;
      for (const [name, expected] of files) {
        try {
          expect((await readFile(mount.at(name))).equals(expected), name).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' });
          // Of equal failures, some of many are told.
          if (failed === 0) expect(log()).toContain(`path=/${name} `);
          failed++;
        }
      }
      expect(failed).toBeGreaterThan(0);
      expect(log()).toMatch(
        /error mount:read-failed image=docker:\S+\/image@sha256:\w+ mountPoint=\S+ path=\/[\w-]+ offset=\d+ error="Cannot use chunk \d+ of blob \\"sha256:\w{64}\\".*\(SLUICE_CHUNK_DIGEST_MISMATCH\)"/,
      );
      registry.faults.clear();
      await expectAll(mount);
    }));

  it('reads right when its cache has rotted, before the mount and behind its back', async () => {
    const random = randomNumbers(`mounted ${seed}`);
    const dataFiles = (): string[] =>
      filesBelow(path.join(directory, 'rotten-cache')).filter(
        (file) => /^(data|state)$/.test(path.basename(file)) && statSync(file).size > 0,
      );
    const rot = async (): Promise<void> => {
      for (const file of dataFiles()) for (let flips = 0; flips < 5; flips++) await flipInPlace(file, random);
    };
    await withMounted('rotten', expectAll);
    await rot();
    await withMounted('rotten', async (mount) => {
      await rot();
      await expectAll(mount);
    });
  });

  it.each(['manifest', 'config', 'bootstrap'])(
    'is mounted although the %s it has in the cache has rotted',
    async (kind) => {
      const cache = `${kind}-cache`;
      await withMounted(kind, expectAll);
      const kept = filesBelow(path.join(directory, cache)).filter((file) => path.basename(file).startsWith(`${kind}-`));
      expect(kept.length).toBe(1);
      await flipInPlace(kept[0]!, randomNumbers(`${kind} ${seed}`));
      await withMounted(kind, expectAll);
    },
  );

  it.each([
    ['manifest', () => /\/manifests\//],
    ['config', () => new RegExp(configDigest)],
  ] as const)('is not mounted when the registry sends another %s', async (_, spoilt) => {
    registry.faults.add({ path: spoilt(), times: 1e9, fault: { kind: 'corrupt', at: 3 } });
    const mountPoint = path.join(directory, 'never');
    await mkdir(mountPoint, { recursive: true });
    const result = await sluice([
      'mount',
      '--foreground',
      '--json',
      '--cache-dir',
      path.join(directory, 'never-cache'),
      reference,
      mountPoint,
    ]);
    registry.faults.clear();
    expect(errorCode(result)).toMatch(/^SLUICE_(DIGEST_MISMATCH|MANIFEST_INVALID)$/);
    expect(mounts().some(({ target }) => target === mountPoint)).toBe(false);
  });
});
