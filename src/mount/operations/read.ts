import { type Outcome, PENDING } from '../../fuse/operations.ts';
import type { Reply } from '../../fuse/reply.ts';
import type { ImageView } from '../image-view.ts';
import type { Miss } from '../messages.ts';

/**
 * Answers from the cache or the hot pages when all of the read is there and verified. Otherwise the whole read goes to
 * the thread that fetches: this one never waits.
 * @param postMiss - hands it over
 */
export function read(
  image: ImageView,
  nodeid: number,
  offset: number,
  length: number,
  reply: Reply,
  unique: number,
  postMiss: (miss: Miss) => void,
): Outcome {
  const nid = image.nid(nodeid);
  const filled = readCached(image, nid, offset, length, reply.data);
  if (filled !== undefined) return filled;
  postMiss({ unique, nid, offset, length });
  return PENDING;
}

/**
 * Fills `target` from its beginning, if all of the read is here and verified.
 * @returns how many bytes, fewer than `length` only at the end of the file; undefined when some are not there, and
 *   `target` holds rubbish
 */
export function readCached(
  image: ImageView,
  nid: number,
  offset: number,
  length: number,
  target: Uint8Array,
): number | undefined {
  let filled = 0;
  for (const segment of image.bootstrap.erofs.mapRange(nid, offset, length)) {
    const part = target.subarray(filled, filled + segment.length);
    if (segment.kind === 'hole') part.fill(0);
    else if (segment.kind === 'inline') part.set(segment.bytes);
    else if (!readDevice(image, segment.device, segment.deviceOffset, part)) return undefined;
    filled += segment.length;
  }
  return filled;
}

function readDevice(image: ImageView, device: number, deviceOffset: number, target: Uint8Array): boolean {
  const chunks = image.bootstrap.devices[device]?.chunks;
  const chunk = chunks?.find(deviceOffset) ?? -1;
  if (chunks === undefined || chunk < 0 || deviceOffset + target.length > chunks.deviceSize) return false;
  if (image.cache[device]?.readInto(chunk, deviceOffset - chunks.uncompressedOffset(chunk), target) === true)
    return true;
  return image.hot?.readInto(device, deviceOffset, target) === true;
}
