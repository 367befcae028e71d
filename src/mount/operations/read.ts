import type { ImageView } from '../image-view.ts';

/**
 * Fills `target` from its beginning, from the cache and the hot pages, if all of the read is there and verified. Never
 * waits.
 * @returns how many bytes, fewer than `length` only at the end of the file; undefined when some are not there, and
 *   `target` holds rubbish
 */
export function readLocal(
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
