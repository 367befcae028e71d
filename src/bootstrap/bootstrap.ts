import { ChunkMap, SERIALISED_CHUNK_SIZE } from '../chunk/chunk-map.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import { fsverityDigest } from '../digest/merkle.ts';
import { ErofsReader } from '../erofs/reader.ts';
import { FormatError, IntegrityError } from '../errors.ts';
import { parseDigest } from '../oci/digest.ts';
import { type Footer, parseFooter } from './footer.ts';
import { DEVICE_RECORD_SIZE, deviceFields, type Section } from './format.ts';
import type { BootstrapDevice } from './writer.ts';

/** What a worker thread needs to open a bootstrap that the main thread has verified: post it, nothing is copied. */
export interface SharedBootstrap {
  /** On a `SharedArrayBuffer` when that is what {@link Bootstrap.open} was given; otherwise posting it copies. */
  readonly bytes: Uint8Array;
  readonly chunkMaps: readonly SharedArrayBuffer[];
}

/** An image's metadata, verified: its tree, and where each byte of its files lies. Immutable. */
export class Bootstrap {
  readonly erofs: ErofsReader;
  /** Their `verityDigest`s are views of the bootstrap. */
  readonly devices: readonly BootstrapDevice[];
  /** Of the chunks' digests. */
  readonly digestAlgorithm: DigestAlgorithm;
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array, footer: Footer, chunkMaps: readonly ChunkMap[]) {
    const { offset, length } = footer.sections.erofs;
    this.#bytes = bytes;
    this.digestAlgorithm = footer.algorithm;
    this.erofs = new ErofsReader(bytes.subarray(offset, offset + length));
    this.devices = readDevices(this.erofs, section(bytes, footer.sections.devices), chunkMaps);
  }

  /**
   * Opens a bootstrap. All of it is verified before any of it is parsed.
   *
   * @param bytes - the whole file; kept, must not change; may lie on a `SharedArrayBuffer`
   * @param expectedRoot - 32 bytes: the fs-verity digest the manifest names. `undefined` only for bytes whose origin is
   *   beyond doubt, such as those this process has just written
   * @throws {IntegrityError} SLUICE_MERKLE_MISMATCH
   * @throws {FormatError} SLUICE_BOOTSTRAP_INVALID, SLUICE_BOOTSTRAP_UNSUPPORTED, SLUICE_CHUNK_MAP_INVALID, SLUICE_EROFS_*
   */
  static open(bytes: Uint8Array, expectedRoot: Uint8Array | undefined): Bootstrap {
    if (expectedRoot !== undefined) verifyRoot(bytes, expectedRoot);
    const footer = parseFooter(bytes);
    const records = section(bytes, footer.sections.devices);
    const columns = section(bytes, footer.sections.chunkMaps);
    return new Bootstrap(bytes, footer, readChunkMaps(records, columns));
  }

  /** Opens in another thread what {@link Bootstrap.share} gave: shares its memory and does not verify again. */
  static fromShared({ bytes, chunkMaps }: SharedBootstrap): Bootstrap {
    return new Bootstrap(
      bytes,
      parseFooter(bytes),
      chunkMaps.map((buffer) => new ChunkMap(buffer)),
    );
  }

  share(): SharedBootstrap {
    return { bytes: this.#bytes, chunkMaps: this.devices.map((device) => device.chunks.buffer) };
  }
}

function verifyRoot(bytes: Uint8Array, expectedRoot: Uint8Array): void {
  const expected = Buffer.from(expectedRoot).toString('hex');
  const actual = Buffer.from(fsverityDigest(bytes)).toString('hex');
  if (actual === expected) return;
  throw new IntegrityError(
    'SLUICE_MERKLE_MISMATCH',
    `Cannot use bootstrap: its Merkle root is ${actual}, want ${expected}`,
    {
      facts: { expected, actual },
    },
  );
}

function section(bytes: Uint8Array, { offset, length }: Section): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, length);
}

function readChunkMaps(records: Buffer, columns: Buffer): ChunkMap[] {
  const maps: ChunkMap[] = [];
  let position = 0;
  for (let record = 0; record + DEVICE_RECORD_SIZE <= records.length; record += DEVICE_RECORD_SIZE) {
    const length = records.readUInt32LE(record + deviceFields.chunkCount) * SERIALISED_CHUNK_SIZE;
    if (position + length > columns.length) throw invalid('its chunk maps are cut short');
    maps.push(ChunkMap.parse(columns.subarray(position, position + length)));
    position += length;
  }
  if (position !== columns.length) throw invalid('bytes are left over behind its chunk maps');
  return maps;
}

/** Device table, device records and chunk maps say three parts of the same: they must agree. */
function readDevices(erofs: ErofsReader, records: Buffer, chunkMaps: readonly ChunkMap[]): BootstrapDevice[] {
  if (erofs.devices.length * DEVICE_RECORD_SIZE !== records.length || erofs.devices.length !== chunkMaps.length) {
    throw invalid(`${erofs.devices.length} devices, but ${records.length} bytes of device records`);
  }
  return chunkMaps.map((chunks, i) => {
    const { tag, blocks } = erofs.devices[i] ?? { tag: '', blocks: -1 };
    if (!/^[0-9a-f]{64}$/.test(tag)) throw invalid(`the tag of device ${i} is no digest`);
    const record = records.subarray(i * DEVICE_RECORD_SIZE, (i + 1) * DEVICE_RECORD_SIZE);
    const blobSize = Number(record.readBigUInt64LE(deviceFields.blobSize));
    if (blocks * PAGE_SIZE !== chunks.deviceSize) {
      throw invalid(`device ${i} has ${blocks} blocks, but its chunks ${chunks.deviceSize} bytes`);
    }
    if (!(blobSize >= chunks.compressedSize && Number.isSafeInteger(blobSize))) {
      throw invalid(`the blob of device ${i} has ${blobSize} bytes, but its frames ${chunks.compressedSize}`);
    }
    return {
      blob: parseDigest(`sha256:${tag}`),
      blobSize,
      chunks,
      verityDigest: record.subarray(deviceFields.verityDigest),
    };
  });
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_BOOTSTRAP_INVALID', `Cannot read bootstrap: ${why}`);
}
