import type { StoredChunk } from '../../src/chunk/chunk-map.ts';

export function sampleContent(chunk: number): Uint8Array<ArrayBuffer>;
export function sampleChunks(count: number): StoredChunk[];
