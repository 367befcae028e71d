import { readdirSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { MountState } from '../mount/mount-state.ts';
import { version } from '../version.ts';
import { EventTallies } from './event-tallies.ts';
import { Exposition, type Family, type Sample } from './exposition.ts';
import { cacheFamilies, mountFamilies, processFamilies } from './families.ts';
import type { MetricsSource, MountMetrics } from './source.ts';

/** Some 60 lines each: more of them make a scrape that takes long on both sides, and `sluice_mounts` still counts them. */
const maximumMounts = 256;

const lazinesses: Readonly<Record<MountState['laziness'], true>> = {
  lazy: true,
  filling: true,
  paused: true,
  local: true,
};

/**
 * The metrics of this process, for Prometheus. Their names, and what they mean, are in docs/metrics.md.
 */
export class Metrics {
  readonly #events = new EventTallies();
  readonly #version = version();

  private constructor() {}

  /** Counts from now on, whatever this process does. Closed by the caller. */
  static subscribe(): Metrics {
    return new Metrics();
  }

  /** Everything, as it is now: the answer to a scrape, `text/plain; version=0.0.4; charset=utf-8`. */
  text(source: MetricsSource): string {
    const exposition = new Exposition();
    showMounts(exposition, source.mounts());
    showCache(exposition, source);
    this.#events.show(exposition);
    showProcess(exposition, this.#version);
    return exposition.text();
  }

  close(): void {
    this.#events.close();
  }
}

function showMounts(exposition: Exposition, all: readonly MountMetrics[]): void {
  const mounts = all.slice(0, maximumMounts);
  /** The samples of one family; `samplesOf` gives the labels that follow image and mount point, and values. */
  const add = (family: Family, samplesOf: (mount: MountMetrics) => readonly Sample[]): void => {
    const samples = mounts.flatMap((mount) =>
      samplesOf(mount).map(({ labels, value }) => ({ labels: [mount.image, mount.mountPoint, ...labels], value })),
    );
    exposition.add(family, samples);
  };
  const { reads, readBytes, readDuration, waiting, oldestWait, content, local, size, rate } = mountFamilies;
  exposition.add(mountFamilies.mounts, one(all.length));
  add(
    reads,
    ({
      state: {
        reads: { count, misses },
      },
    }) => [
      { labels: ['local'], value: count - misses },
      { labels: ['missed'], value: misses },
    ],
  );
  add(readBytes, ({ state }) => one(state.reads.bytes));
  exposition.addHistogram(
    readDuration,
    mounts.flatMap(({ image, mountPoint, latency }) =>
      latency === undefined ? [] : [{ labels: [image, mountPoint], ...latency }],
    ),
  );
  add(waiting, ({ state }) => one(state.waiting.reads));
  add(oldestWait, ({ state }) => one(secondsSince(state.waiting.since)));
  add(content, ({ state: { fetched, copied } }) =>
    Object.entries({ ...fetched, copied }).map(([from, { bytes }]) => ({ labels: [from], value: bytes })),
  );
  add(local, ({ state }) => one(state.local.bytes));
  add(size, ({ state }) => one(state.total.bytes));
  add(rate, ({ state }) => one(state.bytesPerSecond));
  add(mountFamilies.laziness, ({ state }) =>
    Object.keys(lazinesses).map((laziness) => ({ labels: [laziness], value: state.laziness === laziness ? 1 : 0 })),
  );
  add(mountFamilies.lastError, ({ state: { lastError } }) =>
    lastError === undefined ? [] : one(Date.parse(lastError.at) / 1000),
  );
}

function showCache(exposition: Exposition, source: MetricsSource): void {
  const state = source.cache();
  const { bytes, maximum, free, minimumFree, writable, queued } = cacheFamilies;
  const values = [
    [bytes, state?.bytes],
    [maximum, state?.maximumBytes],
    [free, state?.freeBytes],
    [minimumFree, state?.minimumFreeBytes],
    [writable, state === undefined ? undefined : Number(state.writable)],
  ] as const;
  for (const [family, value] of values) exposition.add(family, value === undefined ? [] : one(value));
  exposition.add(
    queued,
    Object.entries(source.queued()).map(([priority, value]) => ({ labels: [priority], value })),
  );
}

function showProcess(exposition: Exposition, sluice: string): void {
  const { build, uptime, memory, descriptors, threads, cpu, busy } = processFamilies;
  const { user, system } = process.cpuUsage();
  exposition.add(build, [{ labels: [sluice, process.version], value: 1 }]);
  exposition.add(uptime, one(process.uptime()));
  exposition.add(memory, one(process.memoryUsage.rss()));
  exposition.add(descriptors, entriesOf('/proc/self/fd'));
  exposition.add(threads, entriesOf('/proc/self/task'));
  exposition.add(cpu, one((user + system) / 1e6));
  exposition.add(busy, one(performance.eventLoopUtilization().active / 1000));
}

/** Nothing where there is no descriptor left to look with: the rest is wanted all the more then. */
function entriesOf(folder: string): readonly Sample[] {
  try {
    return one(readdirSync(folder).length);
  } catch {
    return [];
  }
}

function one(value: number): readonly Sample[] {
  return [{ labels: [], value }];
}

/** @param since - ISO 8601 */
function secondsSince(since: string | undefined): number {
  return since === undefined ? 0 : Math.max(0, Date.now() - Date.parse(since)) / 1000;
}
