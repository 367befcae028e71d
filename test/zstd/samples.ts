/** Bytes without pattern, the same in every run. */
export function noise(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** Bytes that compress to about a third, with matches near and far. */
export function prose(length: number): Uint8Array {
  const words = Array.from({ length: 512 }, (_, i) => Buffer.from(noise(2 + (i % 9), i + 1)).toString('base64'));
  const picks = noise(length, 99);
  const text: string[] = [];
  for (let i = 0, size = 0; size < length; i++) {
    const word = words[((picks[2 * i] ?? 0) * 2 + ((picks[2 * i + 1] ?? 0) & 1)) % words.length] ?? '';
    text.push(word, ' ');
    size += word.length + 1;
  }
  return Buffer.from(text.join('')).subarray(0, length);
}

export async function* inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += length) yield bytes.subarray(i, i + length);
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}
