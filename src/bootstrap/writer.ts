import type { ChunkMap } from '../chunk/chunk-map.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { type DigestAlgorithm, hash } from '../digest/hash.ts';
import type { DirectoryInode } from '../erofs/inode.ts';
import { writeErofs } from '../erofs/writer.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import { writeFooter } from './footer.ts';
import { DEVICE_RECORD_SIZE, deviceFields } from './format.ts';

/** One layer blob of an image. */
export interface BootstrapDevice {
  readonly blob: Digest;
  /** Bytes of the compressed blob. */
  readonly blobSize: number;
  readonly chunks: ChunkMap;
  /** The fs-verity digest of the device image, 32 bytes: what single pages of it are verified against. */
  readonly verityDigest: Uint8Array;
}

export interface BootstrapContent {
  /** The merged tree; extents' devices are indexes into `devices`. */
  readonly tree: DirectoryInode;
  readonly devices: readonly BootstrapDevice[];
  /** Of the chunks' digests. */
  readonly algorithm: DigestAlgorithm;
}

/**
 * Writes a bootstrap: EROFS image, device records, chunk maps, footer. The bytes depend on the content only: the build time is 0, the UUID is made from the devices.
 *
 * @returns whole blocks, a new array
 * @throws {FormatError} SLUICE_EROFS_INVALID for a tree that EROFS cannot hold
 */
export function writeBootstrap({ tree, devices, algorithm }: BootstrapContent): Uint8Array<ArrayBuffer> {
  const records = Buffer.concat(devices.map(deviceRecord));
  const chunkMaps = Buffer.concat(devices.map((device) => device.chunks.serialise()));
  const slots = devices.map(({ blob, chunks }) => ({ tag: digestHex(blob), blocks: chunks.deviceSize / PAGE_SIZE }));
  const image = writeErofs(tree, slots, { buildTime: 0, uuid: makeUuid(devices) });

  let end = 0;
  const place = (length: number): { offset: number; length: number } => {
    const offset = end;
    end += length;
    return { offset, length };
  };
  const sections = {
    erofs: place(image.length),
    devices: place(records.length),
    chunkMaps: place(chunkMaps.length),
  };
  const footerOffset = Math.ceil(end / PAGE_SIZE) * PAGE_SIZE;
  const bytes = new Uint8Array(footerOffset + PAGE_SIZE);
  bytes.set(image, sections.erofs.offset);
  bytes.set(records, sections.devices.offset);
  bytes.set(chunkMaps, sections.chunkMaps.offset);
  bytes.set(writeFooter({ algorithm, sections }), footerOffset);
  return bytes;
}

function deviceRecord({ blobSize, chunks, verityDigest }: BootstrapDevice): Uint8Array {
  const record = Buffer.alloc(DEVICE_RECORD_SIZE);
  record.writeBigUInt64LE(BigInt(blobSize), deviceFields.blobSize);
  record.writeUInt32LE(chunks.count, deviceFields.chunkCount);
  record.set(verityDigest, deviceFields.verityDigest);
  return record;
}

/**
 * Names the image. The blobs' digests cover their metadata, so that images which differ in any layer differ in this;
 * overlayfs tells its lower file systems apart by it. Source: RFC 9562, section 5.8 (version 8).
 */
function makeUuid(devices: readonly BootstrapDevice[]): Uint8Array {
  const text = ['sluice bootstrap', ...devices.map((device) => device.blob)].join('\n');
  const uuid = hash('sha256', Buffer.from(text)).slice(0, 16);
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}
