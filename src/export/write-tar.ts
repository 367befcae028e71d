import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { ChunkStore } from '../bootstrap/chunk-store.ts';
import { displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { readExtents } from '../image/read-extents.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/writer.ts';
import type { FileEntry, LayerEntry } from '../tree/layer-entry.ts';
import { tarEntryFromLayer } from '../tree/tar-entry.ts';

/** Where the content of entries comes from: verified chunks. */
export interface TarContent {
  readonly bootstrap: Bootstrap;
  readonly chunks: ChunkStore;
}

/** What a ustar header has room for; a hostile blob may claim more, and no Linux device has. */
const maximumDeviceNumber = 2 ** 21 - 1;

/**
 * Writes entries as a tar, holes as GNU sparse files. The same entries and content give the same bytes.
 *
 * @param entries - in tar order; extents inside of their devices
 * @returns pieces, used before the next step
 * @throws {FormatError} SLUICE_TREE_INVALID for what no tar can hold
 * @throws what the chunk store throws
 */
export async function* writeTar(
  entries: Iterable<LayerEntry>,
  content: TarContent,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    checkDevice(entry);
    yield tarHeader(tarEntryFromLayer(entry));
    if (entry.kind === 'file') yield* fileContent(entry, content, signal);
  }
  yield tarEnd;
}

async function* fileContent(
  { extents }: FileEntry,
  { bootstrap, chunks }: TarContent,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const { bytes } of readExtents(bootstrap, chunks, extents, signal)) {
    yield bytes;
    length += bytes.length;
  }
  yield tarPadding(length);
}

function checkDevice(entry: LayerEntry): void {
  if (entry.kind !== 'special' || Math.max(entry.major, entry.minor) <= maximumDeviceNumber) return;
  const { path, major, minor } = entry;
  throw new FormatError(
    'SLUICE_TREE_INVALID',
    `Cannot write layer: "${displayText(path)}" has the device number ${major}:${minor}`,
  );
}
