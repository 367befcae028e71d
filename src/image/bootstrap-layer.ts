import { byteStringFromText } from '../byte-string.ts';
import { verifyStream } from '../digest/verified-stream.ts';
import { noXattrs } from '../erofs/inode.ts';
import { FormatError } from '../errors.ts';
import type { BlobSource, Descriptor } from '../oci/image.ts';
import { TarParser } from '../tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/writer.ts';
import { compress } from '../zstd/codec.ts';
import { decompressStream } from '../zstd/stream.ts';

const fileName = byteStringFromText('bootstrap.erofs');

/**
 * The largest bootstrap a reader takes: it is held in memory as a whole. 40 million files would fit; a manifest that
 * claims more wants to exhaust memory.
 */
const maximumBootstrapSize = 2 ** 31;

/**
 * This is what every start waits for. Measured on a bootstrap of 1 MB: level 12 takes 26 ms for 153.7 kB, 15 takes 135 ms
 * for 152.8, 19 takes 471 ms for 141.6; on one of 20 MB that would be ten seconds.
 */
const bootstrapLevel = 12;

/**
 * Of a tar, besides the bootstrap. A layer of 6 MB can unfold to 200 GB of zeros, which would be decompressed for
 * minutes.
 */
const maximumTarOverhead = 1 << 20;

/** The bootstrap as the image's last layer holds it. ADR-0002. */
export interface BootstrapLayer {
  /** tar+zstd. */
  readonly layer: Uint8Array;
  /** The tar alone: what the diff_id is over. */
  readonly tar: Uint8Array;
}

/** Wraps a bootstrap into a tar with one file, compressed. The same bootstrap gives the same bytes everywhere. */
export function packBootstrap(bootstrap: Uint8Array): BootstrapLayer {
  const header = tarHeader({
    path: fileName,
    type: 'file',
    mode: 0o444,
    uid: 0,
    gid: 0,
    size: bootstrap.length,
    mtime: 0,
    mtimeNs: 0,
    linkTarget: byteStringFromText(''),
    major: 0,
    minor: 0,
    xattrs: noXattrs,
    sparse: undefined,
  });
  const tar = Buffer.concat([header, bootstrap, tarPadding(bootstrap.length), tarEnd]);
  return { tar, layer: compress(tar, bootstrapLevel) };
}

/**
 * Fetches and unpacks the bootstrap layer. Its digest is verified as it streams, not yet the Merkle root.
 *
 * @returns the bootstrap on shared memory, for worker threads
 * @throws {FormatError} SLUICE_BOOTSTRAP_INVALID when the layer does not hold exactly one file of a sane size
 * @throws {IntegrityError} SLUICE_DIGEST_MISMATCH, SLUICE_SIZE_MISMATCH
 */
export async function fetchBootstrap(
  source: BlobSource,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<Uint8Array<SharedArrayBuffer>> {
  const compressed = verifyStream(source.readBlob(descriptor, undefined, signal), descriptor, 'bootstrap layer');
  let file: Uint8Array<SharedArrayBuffer> | undefined;
  let filled = 0;
  let tarSize = 0;
  const parser = new TarParser({
    entry(entry) {
      if (file !== undefined || entry.type !== 'file' || entry.sparse !== undefined)
        throw invalid('it is not one file');
      if (entry.size > maximumBootstrapSize) throw invalid(`it claims ${entry.size} bytes`);
      file = new Uint8Array(new SharedArrayBuffer(entry.size));
    },
    data(bytes) {
      file?.set(bytes, filled);
      filled += bytes.length;
    },
    endEntry() {},
  });
  for await (const bytes of decompressStream(compressed)) {
    parser.push(bytes);
    tarSize += bytes.length;
    if (tarSize > maximumTarOverhead + (file?.length ?? 0)) throw invalid('bytes are left over behind the bootstrap');
  }
  parser.end();
  if (file === undefined) throw invalid('it is empty');
  return file;
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_BOOTSTRAP_INVALID', `Cannot unpack bootstrap layer: ${why}`);
}
