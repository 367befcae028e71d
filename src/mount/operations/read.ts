import { type Outcome, PENDING } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';

/**
 * Answers from the cache when all of the read is there and verified. Otherwise the whole read goes to the thread that
 * fetches: this one never waits.
 */
export function read(
  image: ImageView,
  nodeid: number,
  offset: number,
  length: number,
  reply: Reply,
  unique: number,
): Outcome {
  const nid = image.nid(nodeid);
  let filled = 0;
  for (const segment of image.bootstrap.erofs.mapRange(nid, offset, length)) {
    const target = reply.data.subarray(filled, filled + segment.length);
    if (segment.kind === 'hole') target.fill(0);
    else if (segment.kind === 'inline') target.set(segment.bytes);
    else if (!readDevice(image, segment.device, segment.deviceOffset, target)) {
      image.postMiss({ unique, nid, offset, length });
      return PENDING;
    }
    filled += segment.length;
  }
  return filled;
}

function readDevice(image: ImageView, device: number, deviceOffset: number, target: Uint8Array): boolean {
  const chunks = image.bootstrap.devices[device]?.chunks;
  const chunk = chunks?.find(deviceOffset) ?? -1;
  if (chunks === undefined || chunk < 0 || deviceOffset + target.length > chunks.deviceSize) return false;
  return image.cache[device]?.readInto(chunk, deviceOffset - chunks.uncompressedOffset(chunk), target) ?? false;
}
