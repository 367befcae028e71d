import type { Bootstrap } from '../bootstrap/bootstrap.ts';
import type { PageRun } from '../bootstrap/page-run.ts';
import type { ByteString } from '../byte-string.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import { S_IFDIR, S_IFMT, S_IFREG } from '../erofs/inode.ts';
import type { ErofsReader } from '../erofs/reader.ts';
import type { Profile } from './profile.ts';

/**
 * Finds the pages of devices that a profile stands for in an image, which need not be the one it was recorded on: paths
 * that are not there, and pages behind the end of a file, are left out. So are holes and inline data, which no device
 * has.
 *
 * @returns runs in the order of their first read, neighbours joined; no page is in two of them
 * @throws {FormatError} SLUICE_EROFS_* for a broken image
 */
export function resolveProfile({ files, reads }: Profile, { erofs, devices }: Bootstrap): PageRun[] {
  const nids = files.map((path) => findFile(erofs, path));
  const runs = new DeviceRuns(devices.map(({ chunks }) => chunks.deviceSize / PAGE_SIZE));
  for (const { file, page, pages } of reads) {
    const nid = nids[file];
    if (nid === undefined) continue;
    for (const segment of erofs.mapRange(nid, page * PAGE_SIZE, pages * PAGE_SIZE)) {
      if (segment.kind === 'device') runs.add(segment.device, segment.deviceOffset, segment.length);
    }
  }
  return runs.take();
}

/** @returns undefined when there is no regular file: symbolic links are not followed, since no path has one in it */
function findFile(erofs: ErofsReader, path: ByteString): number | undefined {
  let nid = erofs.rootNid;
  for (const name of path.split('/').slice(1) as ByteString[]) {
    if ((erofs.inode(nid).mode & S_IFMT) !== S_IFDIR) return undefined;
    const found = erofs.lookup(nid, name);
    if (found === undefined) return undefined;
    nid = found;
  }
  return (erofs.inode(nid).mode & S_IFMT) === S_IFREG ? nid : undefined;
}

/** Runs of pages that do not overlap, in the order in which they were added. */
class DeviceRuns {
  /** A bit a page of each device: those that are in a run. */
  readonly #taken: readonly Uint8Array[];
  readonly #runs: { device: number; page: number; pages: number }[] = [];

  /** @param sizes - of the devices, in pages */
  constructor(sizes: readonly number[]) {
    this.#taken = sizes.map((pages) => new Uint8Array(Math.ceil(pages / 8)));
  }

  /** @param deviceOffset - a multiple of the page size @param length - in bytes */
  add(device: number, deviceOffset: number, length: number): void {
    const first = deviceOffset / PAGE_SIZE;
    for (let page = first; page < first + Math.ceil(length / PAGE_SIZE); page++) {
      if (this.#take(device, page)) this.#append(device, page);
    }
  }

  take(): PageRun[] {
    return this.#runs;
  }

  #append(device: number, page: number): void {
    const last = this.#runs.at(-1);
    if (last?.device === device && last.page + last.pages === page) last.pages += 1;
    else this.#runs.push({ device, page, pages: 1 });
  }

  #take(device: number, page: number): boolean {
    const taken = this.#taken[device];
    const byte = taken?.[page >>> 3];
    const bit = 1 << (page & 7);
    if (taken === undefined || byte === undefined || byte & bit) return false;
    taken[page >>> 3] = byte | bit;
    return true;
  }
}
