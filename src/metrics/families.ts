import type { Family } from './exposition.ts';

const mount = ['image', 'mount_point'];

function counter(name: string, labels: readonly string[], help: string): Family {
  return { name: `sluice_${name}_total`, type: 'counter', labels, help };
}

function gauge(name: string, labels: readonly string[], help: string): Family {
  return { name: `sluice_${name}`, type: 'gauge', labels, help };
}

function latency(name: string, labels: readonly string[], help: string): Family {
  return { name: `sluice_${name}_seconds`, type: 'histogram', labels, help };
}

/** Of mounts, as they are found at a scrape. */
export const mountFamilies = {
  mounts: gauge('mounts', [], 'Mounts that are served, also those too many to be listed.'),
  reads: counter('mount_reads', [...mount, 'result'], 'Reads answered: from what is local, or after a miss.'),
  readBytes: counter('mount_read_bytes', mount, 'Bytes that local reads were answered with.'),
  readDuration: latency('mount_read_duration', mount, 'From arrival to answer, of local reads.'),
  waiting: gauge('mount_waiting_reads', mount, 'Reads that wait for content now.'),
  oldestWait: gauge('mount_oldest_wait_seconds', mount, 'How long the oldest of the waiting reads has waited.'),
  content: counter(
    'mount_content_bytes',
    [...mount, 'source'],
    'Uncompressed content that was brought in: fetched, by who asked for it, or copied from other blobs.',
  ),
  local: gauge('mount_local_bytes', mount, 'Uncompressed content of the image that is in the cache.'),
  size: gauge('mount_image_bytes', mount, 'Uncompressed content of the image, all of it.'),
  rate: gauge('mount_fetch_bytes_per_second', mount, 'Compressed bytes from the network over the last seconds.'),
  laziness: gauge('mount_state', [...mount, 'state'], '1 for the state the mount is in, 0 for the others.'),
  lastError: gauge('mount_last_error_timestamp_seconds', mount, 'When a read failed last; absent when none ever did.'),
} as const satisfies Record<string, Family>;

/** Of the cache and the queue, as they are found at a scrape. */
export const cacheFamilies = {
  bytes: gauge('cache_bytes', [], 'What the cache uses, by all processes together.'),
  maximum: gauge('cache_maximum_bytes', [], 'What the cache may use.'),
  free: gauge('cache_disk_free_bytes', [], 'What is free on the cache’s disk.'),
  minimumFree: gauge('cache_disk_minimum_free_bytes', [], 'What the cache leaves free on its disk.'),
  writable: gauge('cache_writable', [], '1 when chunks are kept, 0 while the disk is full or fails.'),
  queued: gauge('fetch_queued_chunks', ['priority'], 'Chunks that wait for a request.'),
} as const satisfies Record<string, Family>;

/** Counted as events happen. */
export const eventFamilies = {
  failures: counter(
    'read_failures',
    ['mount_point', 'code'],
    'Reads that were answered with an error, by the error’s code.',
  ),
  requests: counter('fetch_requests', ['priority', 'result'], 'Range requests that ended: ok, or the error’s code.'),
  requestDuration: latency(
    'fetch_request_duration',
    ['priority'],
    'From a range request to its last byte, or its failure.',
  ),
  networkBytes: counter(
    'network_bytes',
    ['source'],
    'Compressed content that was received: by range requests that ended well, gaps between chunks included, and of hot blobs that came whole.',
  ),
  chunks: counter('fetched_chunks', ['priority'], 'Chunks fetched and found right.'),
  chunkBytes: counter(
    'fetched_bytes',
    ['priority', 'place'],
    'Uncompressed bytes of chunks fetched and found right, by where they came from.',
  ),
  retries: counter(
    'fetch_retries',
    ['place', 'code'],
    'Fetches tried again: where it failed, every if all places did, and the error’s code.',
  ),
  wrongChunks: counter(
    'fetch_mismatches',
    ['place'],
    'Chunks that were not what the image promises, by who sent them.',
  ),
  mismatches: counter(
    'verification_failures',
    ['source'],
    'Content that was not what the image promises, and reached nobody: from a registry, in the cache, in a hot blob.',
  ),
  verified: counter('cache_verified_chunks', [], 'Chunks found on disk and right, hashed before their first use.'),
  stored: counter('cache_stored_bytes', [], 'Uncompressed bytes of chunks written to the cache.'),
  copied: counter('cache_copied_bytes', [], 'Uncompressed bytes of chunks that another blob in the cache had.'),
  evictions: counter('cache_evictions', [], 'Times that this process made room in a device.'),
  evicted: counter('cache_evicted_bytes', [], 'Bytes of disk that were made free.'),
  cacheFailures: counter('cache_failures', ['code'], 'Times that the cache’s disk refused; reads go on without it.'),
  hotStreams: counter('hot_streams', ['result'], 'Hot blobs that were read to their end, or failed.'),
  hotPages: counter('hot_pages', [], 'Pages of hot blobs that came and were found right.'),
  predicted: counter('prefetch_predicted_bytes', ['reason'], 'What a start was expected to read.'),
  prefetched: counter('prefetch_fetched_bytes', [], 'Compressed bytes that were fetched because of that.'),
  prefetchUsed: counter('prefetch_used_bytes', [], 'Of those, read by the time that prefetch stopped.'),
  prefetchStops: counter('prefetch_stops', ['reason'], 'Mounts whose prefetch has stopped.'),
  exchanges: counter('registry_requests', ['host', 'status'], 'HTTP exchanges by status; none for no answer.'),
  exchangeDuration: latency('registry_request_duration', ['host'], 'From an HTTP request to the end of its answer.'),
  received: counter('registry_received_bytes', ['host'], 'Bytes of bodies that hosts sent.'),
  tokens: counter('registry_tokens', ['host', 'result'], 'Tokens asked for: ok, or the error’s code.'),
  passedOver: counter('registry_passed_over', ['place', 'code'], 'Mirrors that failed, and the next place was asked.'),
} as const satisfies Record<string, Family>;

/** Of the process, as it is found at a scrape. */
export const processFamilies = {
  build: gauge('build_info', ['version', 'node'], 'Always 1; the versions are in the labels.'),
  uptime: gauge('process_uptime_seconds', [], 'Since the process started.'),
  memory: gauge('process_resident_memory_bytes', [], 'Resident memory.'),
  descriptors: gauge('process_open_descriptors', [], 'Open file descriptors.'),
  threads: gauge('process_threads', [], 'Threads.'),
  cpu: counter('process_cpu_seconds', [], 'Processor time, of all threads, user and system.'),
  busy: counter('process_event_loop_busy_seconds', [], 'Time in which the main thread was not waiting for anything.'),
} as const satisfies Record<string, Family>;
