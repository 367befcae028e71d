import { MerkleBuilder } from '../digest/merkle.ts';
import type { HashBlockAddress } from '../digest/page-verifier.ts';

/** The Merkle tree of one device image, all its hash blocks kept: a 127th of the device. What hot blobs are proved by. */
export interface DeviceTree {
  /** Bytes of the device. */
  readonly size: number;
  /** 32 bytes. */
  readonly rootHash: Uint8Array;
  /** The device's fs-verity digest, 32 bytes. */
  readonly digest: Uint8Array;
  /** @returns 4096 bytes, not to be changed */
  hashBlock(address: HashBlockAddress): Uint8Array;
}

/**
 * Builds the tree of a device image.
 * @param pieces - the whole image in order, each of whole pages; used until the next is asked for
 */
export async function buildDeviceTree(pieces: AsyncIterable<Uint8Array>): Promise<DeviceTree> {
  const levels: Uint8Array[][] = [];
  const builder = new MerkleBuilder((level, _, block) => {
    levels[level] ??= [];
    levels[level].push(block);
  });
  for await (const piece of pieces) builder.addPages(piece);
  const { size, rootHash, digest } = builder.finish();
  return {
    size,
    rootHash,
    digest,
    hashBlock: ({ level, index }) => {
      const block = levels[level]?.[index];
      if (block === undefined) throw new RangeError(`Cannot find hash block ${index} of level ${level}`);
      return block;
    },
  };
}
