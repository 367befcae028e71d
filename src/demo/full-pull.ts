import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { verifyStream } from '../digest/verified-stream.ts';
import { resolveManifest } from '../image/resolve.ts';
import type { Descriptor, ImageSource } from '../oci/image.ts';
import { parseManifest } from '../oci/manifest.ts';

const run = promisify(execFile);

/** A list of this many bytes names a million files. */
const maximumListBytes = 128 << 20;

/**
 * Unpacks an image the way it is usually done: all layers are downloaded and verified at once, each is unpacked by tar
 * when it and those below it are there.
 *
 * @param folder - a new folder, the caller's to remove
 * @returns the root file system's folder
 */
export async function pullImage(source: ImageSource, folder: string, signal: AbortSignal): Promise<string> {
  const root = path.join(folder, 'rootfs');
  await mkdir(root, { recursive: true });
  const { layers } = parseManifest(await resolveManifest(source, undefined, () => true, signal));
  const abort = new AbortController();
  const either = AbortSignal.any([signal, abort.signal]);
  const downloads = layers.map((layer, i) => download(source, layer, path.join(folder, `layer-${i}`), either));
  try {
    for (const file of downloads) await unpack(await file, root, signal);
  } finally {
    abort.abort();
    await Promise.allSettled(downloads);
  }
  return root;
}

async function download(source: ImageSource, layer: Descriptor, file: string, signal: AbortSignal): Promise<string> {
  const content = verifyStream(source.readBlob(layer, undefined, signal), layer, `layer ${layer.digest}`);
  await pipeline(content, createWriteStream(file), { signal });
  return file;
}

/** Knows as much of whiteouts as the sample needs: it has no opaque folder, and none with the name of a file beside it. */
async function unpack(file: string, root: string, signal: AbortSignal): Promise<void> {
  const args = ['--extract', '--gzip', '--verbose', '--file', file, '--directory', root];
  const { stdout } = await run('tar', args, { maxBuffer: maximumListBytes, signal });
  for (const name of stdout.split('\n')) {
    const { dir, base } = path.posix.parse(name);
    if (!base.startsWith('.wh.')) continue;
    await rm(path.join(root, dir, base.slice('.wh.'.length)), { recursive: true, force: true });
    await rm(path.join(root, name), { force: true });
  }
}
