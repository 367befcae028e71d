import type { BlobMetadata } from '../blob/metadata.ts';
import { ChunkDict } from '../chunk/chunk-dict.ts';
import type { KnownFile } from './place.ts';

/** What the layers so far hold: files by the digest of their content, and chunks. Grows layer by layer, lowest first. */
export class KnownContent {
  readonly chunks: ChunkDict = new ChunkDict();
  readonly files = new Map<string, KnownFile>();

  /** Adds a finished layer. Of equal content the lowest layer's counts. */
  add(device: number, layer: Pick<BlobMetadata, 'entries' | 'fileDigests' | 'chunks'>): void {
    this.chunks.addDevice(device, layer.chunks);
    for (const [index, digest] of layer.fileDigests) {
      const entry = layer.entries[index];
      if (entry?.kind !== 'file' || entry.extents.length === 0) continue;
      const key = Buffer.from(digest).toString('hex');
      if (!this.files.has(key)) this.files.set(key, { size: entry.size, extents: entry.extents });
    }
  }
}
