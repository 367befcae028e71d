import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { planRead } from '../../src/bootstrap/plan-read.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { openImage } from '../../src/image/open-image.ts';
import { openSource } from '../../src/transport/open.ts';
import { convertTree } from '../support/conformance-image.ts';
import type { TestEntry } from '../support/conformance-tree.ts';
import { content, sha256Hex } from '../support/content.ts';
import { eventually, run, runBytes } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const mebibyte = 2 ** 20;
const always = 1_000_000;

/** Content no compressor makes smaller: a byte read is a byte fetched. */
const contents = new Map<string, Uint8Array>([
  ['alone', content('alone', 40_000)],
  ['large', content('large', 6 * mebibyte)],
  ...Array.from({ length: 30 }, (_, i) => [`small-${i}`, content(i, 20_000)] as const),
]);
const names = [...contents.keys()];
const total = [...contents.values()].reduce((sum, bytes) => sum + bytes.length, 0);

const tree: readonly TestEntry[] = [
  { path: '', mode: 0o040755 },
  ...Array.from(contents, ([name, bytes]) => ({ path: name, mode: 0o100644, data: [{ offset: 0, bytes }] })),
];

const sha256 = async (...files: readonly string[]): Promise<string> => sha256Hex(await runBytes('cat', files));
const expected = (...files: readonly string[]): string => {
  const hash = createHash('sha256');
  for (const file of files) hash.update(contents.get(file) ?? '');
  return hash.digest('hex');
};

// Readers are processes: a read that waits in a thread of this process could keep the registry from answering it.
describe.skipIf(!isRoot() || !has('cat', 'find', 'dd', 'du')).each(['fuse', 'libfuse'])(
  'a miss, driver %s',
  (driver) => {
    let directory: string;
    let registry: TestRegistry;
    let image: string;
    let mounts: SluiceMount[];
    let count = 0;

    beforeAll(async () => {
      directory = makeTemporaryDirectory();
      registry = await TestRegistry.start();
      image = await convertTree(tree, directory, `docker://${registry.host}/app:1`);
    });
    afterAll(async () => {
      await registry.close();
      await removeTemporaryDirectory(directory);
    });
    beforeEach(() => {
      mounts = [];
      registry.faults.clear();
    });
    afterEach(async () => {
      registry.faults.clear();
      for (const mount of mounts) if (mount.isAlive()) await mount.stop('--force', '--lazy');
    });

    /** Mounts with an empty cache, unless given one; the registry's log then holds what comes after. */
    async function mount(...flags: readonly string[]): Promise<SluiceMount> {
      const name = `${driver}-${count++}`;
      const cache = flags.includes('--cache-dir') ? [] : ['--cache-dir', path.join(directory, `${name}-cache`)];
      const log = path.join(directory, `${name}.log`);
      const args = ['--driver', driver, '--on-failure', 'wait:1s', '--log', log, ...cache, ...flags];
      const mounted = await SluiceMount.start(
        [...args, ...(flags.includes('--') ? [] : [image])],
        path.join(directory, name),
      );
      mounts.push(mounted);
      registry.requests.clear();
      return mounted;
    }
    const log = ({ directory: mounted }: SluiceMount): string => readFileSync(`${mounted}.log`, 'utf8');
    const all = (mounted: SluiceMount): string[] => names.map((name) => mounted.at(name));

    it('names and attributes need nothing but the bootstrap', async () => {
      const mounted = await mount();
      const found = await run('find', [mounted.directory, '-mindepth', '1', '-type', 'f', '-size', '+1k']);
      expect(found.trim().split('\n').length).toBe(names.length);
      expect(registry.requests.all).toEqual([]);
    });

    it('reading one file fetches its own chunks, in one range request', async () => {
      const source = openSource(image, {});
      const { bootstrap } = await openImage(source);
      await source.close();
      const nid = bootstrap.erofs.lookup(bootstrap.erofs.rootNid, byteStringFromText('alone')) ?? 0;
      const segments = planRead(bootstrap, nid, 0, mebibyte);
      const chunks = segments.flatMap((segment) => (segment.kind === 'chunk' ? [segment] : []));
      const bytes = chunks.reduce(
        (sum, { device, chunk }) => sum + (bootstrap.devices[device]?.chunks.compressedLength(chunk) ?? 0),
        0,
      );
      const mounted = await mount();
      expect(await sha256(mounted.at('alone'))).toBe(expected('alone'));
      expect(registry.requests.all.map(({ kind, status }) => [kind, status])).toEqual([['blob', 206]]);
      expect(registry.requests.bytes()).toBe(bytes);
      expect(bytes).toBeLessThan(total / 8);
      expect(await sha256(mounted.at('alone'))).toBe(expected('alone'));
      expect(registry.requests.all.length).toBe(1);
    });

    it('reading everything forward fetches each byte once, read ahead in few requests', async () => {
      const mounted = await mount();
      expect(await sha256(...all(mounted))).toBe(expected(...names));
      expect(registry.requests.bytes('blob')).toBeLessThan(total * 1.05);
      expect(registry.requests.of('blob').length).toBeLessThan(40);
      expect(log(mounted)).not.toMatch(/ (?:warn|error) /);
    });

    it('copes with 200 and the whole blob in answer to a range', async () => {
      registry.faults.add({ on: 'blob', times: always, fault: { kind: 'ignore-range' } });
      const mounted = await mount();
      expect(await sha256(mounted.at('large'))).toBe(expected('large'));
    });

    it('is EIO while the registry is down, and right when it is back', async () => {
      const mounted = await mount();
      const port = Number(registry.host.split(':')[1]);
      await registry.pause();
      try {
        await expect(sha256(mounted.at('alone'))).rejects.toThrow('Input/output error');
      } finally {
        await registry.resume(port);
      }
      expect(log(mounted)).toContain('SLUICE_REGISTRY_UNREACHABLE');
      expect(await sha256(mounted.at('alone'))).toBe(expected('alone'));
    });

    it('is EIO when the blob is corrupt, gives no wrong byte, and says where', async () => {
      const mounted = await mount();
      registry.faults.add({ on: 'blob', times: always, fault: { kind: 'corrupt', at: 500 } });
      const reader = spawn('cat', [mounted.at('alone')], { stdio: ['ignore', 'pipe', 'ignore'] });
      let read = 0;
      reader.stdout.on('data', (bytes: Buffer) => (read += bytes.length));
      expect(await once(reader, 'close')).toEqual([1, null]);
      expect(read).toBe(0);
      expect(log(mounted)).toMatch(
        new RegExp(
          `mount:read-failed image=${image} .*path=/alone offset=0 .*chunk \\d+ of blob .*SLUICE_CHUNK_DIGEST_MISMATCH`,
        ),
      );
      registry.faults.clear();
      expect(await sha256(mounted.at('alone'))).toBe(expected('alone'));
    });

    it.each(['SIGINT', 'SIGKILL'] as const)('a reader of a registry that stalls ends by %s', async (signal) => {
      const mounted = await mount();
      registry.faults.add({ on: 'blob', times: always, fault: { kind: 'stall', after: 100 } });
      const reader = spawn('cat', [mounted.at('alone')], { stdio: 'ignore' });
      await eventually('the request', () => (registry.requests.of('blob').length > 0 ? true : undefined));
      reader.kill(signal);
      expect(await once(reader, 'exit')).toEqual([null, signal]);
    });

    it('twenty readers of one file cause one fetch', async () => {
      const mounted = await mount();
      registry.faults.add({ on: 'blob', fault: { kind: 'delay', ms: 300 } });
      const reads = Array.from({ length: 20 }, () => sha256(mounted.at('alone')));
      expect(new Set(await Promise.all(reads))).toEqual(new Set([expected('alone')]));
      expect(registry.requests.of('blob').length).toBe(1);
    });

    it('what one process fetched, another has through their cache', async () => {
      const cache = path.join(directory, `${driver}-shared`);
      const [first, second] = [await mount('--cache-dir', cache), await mount('--cache-dir', cache)];
      expect(await sha256(...all(first))).toBe(expected(...names));
      registry.requests.clear();
      expect(await sha256(...all(second))).toBe(expected(...names));
      expect(registry.requests.all).toEqual([]);
    });

    it('--cache-size is held, and what does not fit is fetched again', async () => {
      const cache = path.join(directory, `${driver}-bounded`);
      const bound = 3 * mebibyte;
      const mounted = await mount('--cache-dir', cache, '--cache-size', String(bound));
      for (let round = 0; round < 2; round++) {
        expect(await sha256(...all(mounted))).toBe(expected(...names));
        expect(Number((await run('du', ['-s', '-B1', cache])).split('\t')[0])).toBeLessThan(bound + mebibyte);
        // Out of the page cache, so that the next round asks again.
        await run('dd', [`if=${mounted.at('large')}`, 'iflag=nocache', 'count=0', 'status=none']);
        expect(registry.requests.bytes('blob')).toBeGreaterThan(round * total + 5 * mebibyte);
      }
    });

    it('unmounting by force ends reads that wait', async () => {
      const mounted = await mount();
      registry.faults.add({ on: 'blob', times: always, fault: { kind: 'stall', after: 0 } });
      const reader = spawn('cat', [mounted.at('alone')], { stdio: 'ignore' });
      const ended = once(reader, 'exit');
      await eventually('the request', () => (registry.requests.of('blob').length > 0 ? true : undefined));
      await expect(mounted.stop()).rejects.toThrow('SLUICE_UNMOUNT_FAILED');
      await mounted.stop('--force', '--lazy');
      expect(await ended).toEqual([1, null]);
    });

    it('mounted again by digest, everything local is there without the registry', async () => {
      const cache = path.join(directory, `${driver}-again`);
      const source = openSource(image, {});
      const { descriptor } = await source.resolve();
      await source.close();
      const pinned = `docker://${registry.host}/app@${descriptor.digest}`;
      const first = await mount('--cache-dir', cache, '--', pinned);
      expect(await sha256(...all(first))).toBe(expected(...names));
      await first.stop();
      const port = Number(registry.host.split(':')[1]);
      await registry.pause();
      try {
        const second = await mount('--cache-dir', cache, '--', pinned);
        expect(await sha256(...all(second))).toBe(expected(...names));
        await second.stop();
      } finally {
        await registry.resume(port);
      }
    });
  },
);
