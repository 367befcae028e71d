import { mkdir, open, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { verifyStream } from '../digest/verified-stream.ts';
import { digestHex } from '../oci/digest.ts';
import type { Descriptor, ImageSource, LocalBlob } from '../oci/image.ts';

/**
 * A source layer as a local file: where it lies when the source is local, else downloaded into `directory`. A download
 * is renamed to its digest only when it is whole and right, so an interrupted conversion does not repeat finished ones.
 *
 * @throws what the source throws; {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH
 */
export async function localLayer(
  source: ImageSource,
  descriptor: Descriptor,
  directory: string,
  onBytes: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<LocalBlob> {
  const lying = await source.localBlob(descriptor);
  if (lying !== undefined) return lying;
  const file = path.join(directory, digestHex(descriptor.digest));
  const whole = { path: file, offset: 0, length: descriptor.size };
  if ((await stat(file).catch(() => undefined))?.size === descriptor.size) return whole;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const partial = `${file}.${process.pid}`;
  const handle = await open(partial, 'w', 0o600);
  try {
    let done = 0;
    const stream = source.readBlob(descriptor, undefined, signal);
    for await (const bytes of verifyStream(stream, descriptor, `layer ${descriptor.digest}`)) {
      await handle.appendFile(bytes);
      done += bytes.length;
      onBytes(done);
    }
  } finally {
    await handle.close();
  }
  await rename(partial, file);
  return whole;
}
