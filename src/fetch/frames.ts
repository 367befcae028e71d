/** Where a frame lies in a blob. Bytes. */
export interface FramePlace {
  readonly offset: number;
  readonly length: number;
}

/** Room for one frame after the other: thousands of buffers would be work for the garbage collector. */
class Scratch {
  #bytes = new Uint8Array(0);

  take(length: number): Uint8Array {
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(2 * length);
    return this.#bytes.subarray(0, length);
  }
}

/**
 * Cuts frames out of a stream, each as soon as its last byte is there. Bytes between frames are skipped, and those after
 * the last one never read. Ends early when the stream does.
 * @param stream - pieces of any size; kept no longer than a frame needs them
 * @param start - where in the blob the stream begins
 * @param places - ascending, not overlapping, from `start` on
 * @param received - told the length of each piece, before its frames
 * @returns views of a piece where the frame lies in one piece, else copies; valid until the next is asked for
 */
export async function* frames(
  stream: AsyncIterable<Uint8Array>,
  start: number,
  places: readonly FramePlace[],
  received: (bytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  let next = 0;
  let position = start;
  let partial: Uint8Array | undefined;
  const scratch = new Scratch();
  for await (const piece of stream) {
    received(piece.length);
    const end = position + piece.length;
    for (let place = places[next]; place !== undefined && place.offset < end; place = places[next]) {
      const from = Math.max(place.offset, position);
      const to = Math.min(place.offset + place.length, end);
      const view = piece.subarray(from - position, to - position);
      if (view.length < place.length) {
        partial ??= scratch.take(place.length);
        partial.set(view, from - place.offset);
      }
      if (to < place.offset + place.length) break;
      yield partial ?? view;
      partial = undefined;
      next++;
    }
    if (next === places.length) return;
    position = end;
  }
}
