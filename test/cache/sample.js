import { createHash } from 'node:crypto';

const PAGE = 4096;

/** Chunks of 1 to 8 pages, told apart by every word of theirs. Plain JavaScript: child processes use it too. */
export function sampleContent(chunk) {
  const words = new Uint32Array(((1 + (chunk % 8)) * PAGE) / 4);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(chunk + 1, 2654435761) + i;
  return new Uint8Array(words.buffer);
}

/** What `ChunkMap.fromChunks` takes. */
export function sampleChunks(count) {
  return Array.from({ length: count }, (_, chunk) => {
    const bytes = sampleContent(chunk);
    return { length: bytes.length, compressedLength: 100, digest: createHash('sha256').update(bytes).digest() };
  });
}
