import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import type { ConvertSummary } from '../../src/convert/summary.ts';
import { eventually, run } from '../support/process.ts';
import { convert } from '../support/sluice.ts';

/** The parts of an OCI manifest that are looked at here. */
export interface LayoutManifest {
  readonly digest: string;
  readonly config: { readonly digest: string };
  readonly layers: readonly { readonly digest: string; readonly size: number; readonly mediaType: string }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

const readJson = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));

/** The manifest of a tag of an OCI layout; nothing of ours parses it. */
export async function layoutManifest(layout: string, tag: string): Promise<LayoutManifest> {
  const index = (await readJson(path.join(layout, 'index.json'))) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const found = index.manifests.find(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag);
  if (found === undefined) throw new Error(`Cannot find "${tag}" in the layout "${layout}"`);
  return { ...((await readJson(blobPath(layout, found.digest))) as LayoutManifest), digest: found.digest };
}

/** Where a blob of an OCI layout lies. */
export function blobPath(layout: string, digest: string): string {
  return path.join(layout, 'blobs', ...digest.split(':'));
}

/** The image config of a manifest: diff_ids and how to run it. */
export async function layoutConfig(layout: string, manifest: LayoutManifest): Promise<LayoutConfig> {
  return (await readJson(blobPath(layout, manifest.config.digest))) as LayoutConfig;
}

/** Source: OCI image-spec 1.1, config.md. */
export interface LayoutConfig {
  readonly config: { readonly Entrypoint?: string[]; readonly Cmd?: string[]; readonly Env?: string[] };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

/** One of the real images, converted into an OCI layout under its own tag. */
export interface ConvertedImage {
  readonly layout: string;
  readonly reference: string;
  readonly summary: ConvertSummary;
  readonly manifest: LayoutManifest;
  readonly config: LayoutConfig;
}

/**
 * Converts an image with the defaults, once a test run, whichever test file asks first; the others wait for it.
 * @param source - the OCI layout of the real images
 * @returns it lies in the run's temporary directory and goes away with it; read only
 */
export async function convertedImage(source: string, tag: string): Promise<ConvertedImage> {
  const directory = path.join(os.tmpdir(), 'converted');
  const [layout, result] = [path.join(directory, 'layout'), path.join(directory, `${tag}.json`)];
  await mkdir(directory, { recursive: true });
  const reference = `oci:${layout}:${tag}`;
  const isFirst = await mkdir(`${result}.lock`).then(
    () => true,
    () => false,
  );
  if (isFirst) {
    const made = await convert(['--cache-dir', path.join(directory, 'cache'), `oci:${source}:${tag}`, reference]);
    await writeFile(`${result}.new`, JSON.stringify(made));
    await rename(`${result}.new`, result);
  }
  const summary = (await eventually(`${tag} to be converted`, () => readJson(result), 60_000)) as ConvertSummary;
  const manifest = await layoutManifest(layout, tag);
  return { layout, reference, summary, manifest, config: await layoutConfig(layout, manifest) };
}

/** What is needed to mount a converted image with none of our code. */
export interface UnpackedDevices {
  readonly bootstrap: string;
  /** Device images, lowest layer first. */
  readonly devices: readonly string[];
}

/** Unpacks bootstrap and blobs into `directory` with tar(1) and zstd(1). */
export async function unpackDevices(
  layout: string,
  manifest: LayoutManifest,
  directory: string,
): Promise<UnpackedDevices> {
  const files = manifest.layers.map(({ digest }) => blobPath(layout, digest));
  await run('tar', ['-C', directory, '--zstd', '-xf', files.at(-1) ?? '', 'bootstrap.erofs']);
  const devices = files.slice(0, -1).map((_, index) => path.join(directory, `device-${index}`));
  for (const [index, device] of devices.entries()) {
    await run('zstd', ['-q', '-d', files[index] ?? '', '-o', device]);
  }
  return { bootstrap: path.join(directory, 'bootstrap.erofs'), devices };
}

/** For tests that convert, unpack and walk whole images: seconds each on two idle cores, much more on busy ones. */
export const slow = { timeout: 240_000 } as const;
