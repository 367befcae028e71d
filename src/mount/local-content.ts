import type { ChunkMap } from '../chunk/chunk-map.ts';
import type { Amount } from './mount-state.ts';

/** A device of an image, and which of its chunks are in the cache: a CachedDevice, for one. */
export interface CountedDevice {
  readonly chunks: ChunkMap;
  /** Chunks that are there now, in ascending order. */
  present(): readonly number[];
}

/** How old a count may be. A count reads a state file of four bytes a chunk: 3 ms for 25 GB of chunks. */
const COUNT_LIFE_MS = 250;

interface Count extends Amount {
  readonly at: number;
}

/**
 * How much of an image is in the cache, whoever stored or evicted it. Counted from the devices' state when it is asked
 * for, so there is no account that could go wrong.
 */
export class LocalContent {
  readonly total: Amount;
  readonly #devices: readonly CountedDevice[];
  readonly #now: () => number;
  readonly #counts: (Count | undefined)[] = [];

  /** @param devices - in the order of the bootstrap's; they stay the caller's, who asks for no count once they are closed */
  constructor(devices: readonly CountedDevice[], now: () => number = () => performance.now()) {
    this.#devices = devices;
    this.#now = now;
    this.total = sum(devices.map(({ chunks }) => ({ chunks: chunks.count, bytes: chunks.deviceSize })));
  }

  /** What is there, as of a quarter of a second ago at most. */
  get local(): Amount {
    return sum(this.#devices.map((device, i) => this.#fresh(i) ?? this.#keep(i, device, presentIn(device))));
  }

  /** Bytes that are not there now. */
  get missingBytes(): number {
    return this.total.bytes - sum(this.#devices.map((device, i) => this.#keep(i, device, presentIn(device)))).bytes;
  }

  /** The chunks of a device that are not there now, in ascending order. */
  missing(index: number): number[] {
    const device = this.#devices[index];
    if (device === undefined) throw new RangeError(`Cannot count device ${index}: there are ${this.#devices.length}`);
    const present = presentIn(device);
    this.#keep(index, device, present);
    const missing: number[] = [];
    for (let chunk = 0, next = 0; chunk < device.chunks.count; chunk++) {
      if (present[next] === chunk) next++;
      else missing.push(chunk);
    }
    return missing;
  }

  #fresh(index: number): Count | undefined {
    const count = this.#counts[index];
    return count !== undefined && this.#now() - count.at < COUNT_LIFE_MS ? count : undefined;
  }

  #keep(index: number, { chunks }: CountedDevice, present: readonly number[]): Count {
    const bytes =
      present.length === chunks.count
        ? chunks.deviceSize
        : present.reduce((total, chunk) => total + chunks.uncompressedLength(chunk), 0);
    const count = { chunks: present.length, bytes, at: this.#now() };
    this.#counts[index] = count;
    return count;
  }
}

/** On a disk that cannot be read, nothing is there. */
function presentIn(device: CountedDevice): readonly number[] {
  try {
    return device.present();
  } catch {
    return [];
  }
}

function sum(amounts: readonly Amount[]): Amount {
  return amounts.reduce((a, b) => ({ chunks: a.chunks + b.chunks, bytes: a.bytes + b.bytes }), { chunks: 0, bytes: 0 });
}
