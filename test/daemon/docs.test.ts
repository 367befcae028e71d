import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChunkCache } from '../../src/cache/chunk-cache.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { daemonRoutes } from '../../src/daemon/daemon-routes.ts';
import { FetchScheduler } from '../../src/fetch/scheduler.ts';
import { DescriptorSink } from '../../src/log/descriptor-sink.ts';
import { Log } from '../../src/log/log.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import { ContentPool } from '../../src/mount/image-content.ts';
import { MountWorkers } from '../../src/mount/mount-workers.ts';
import { loadNative } from '../../src/native.ts';
import { convertTree } from '../support/conformance-image.ts';
import { content } from '../support/content.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const docs = readFileSync(new URL('../../docs/daemon.md', import.meta.url), 'utf8');

describe('docs/daemon.md', () => {
  let directory: string;
  beforeAll(() => {
    directory = makeTemporaryDirectory();
  });
  afterAll(() => removeTemporaryDirectory(directory));

  it('has every call that a daemon answers, and no other', async () => {
    const log = new Log({ sink: DescriptorSink.open(2), level: 'error' });
    const cache = ChunkCache.open(path.join(directory, 'unused'), { maximumBytes: 2 ** 30 });
    const workers = new MountWorkers(1);
    const parts = { cache, workers, contents: new ContentPool(), scheduler: new FetchScheduler(), onFailure: () => {} };
    const metrics = Metrics.subscribe();
    const never = (): never => {
      throw new Error('asked for nothing');
    };
    const routes = daemonRoutes({
      ...{ daemon: new Daemon({ parts, log }), parts, metrics },
      ...{ status: never, upgrade: never },
    });
    metrics.close();
    await workers.close();
    cache.close();
    const calls = Array.from(docs.matchAll(/^\| `(GET|POST|DELETE) (\S+)` \|/gm), ([, method = '', url = '']) => ({
      method,
      url: url.replace('ID', '7'),
    }));
    const answers = calls.map(({ method, url }) =>
      routes.filter((route) => route.method === method && route.path.test(url)),
    );
    expect(answers.map(({ length }) => length)).toEqual(calls.map(() => 1));
    expect(new Set(answers.flat())).toEqual(new Set(routes));
  });

  it.skipIf(!isRoot() || !has('curl'))('shows calls that work, one after the other', async () => {
    const file = { path: 'file', mode: 0o100644, data: [{ offset: 0, bytes: content('docs', 300_000) }] };
    const image = await convertTree([{ path: '', mode: 0o040755 }, file], directory);
    const mountPoint = path.join(directory, 'mnt');
    await mkdir(mountPoint);
    const daemon = await DaemonProcess.start(path.join(directory, 'cache'));
    const [, block = ''] = /```sh\n(curl.*?)```/s.exec(docs) ?? [];
    const examples = block.trimEnd().split('\n');
    expect(examples).toHaveLength(10);
    const env = { ...process.env, SOCKET: daemon.socket, IMAGE: image, DIR: mountPoint };
    const hasHolder = loadNative() !== undefined;
    const answers: unknown[] = [];
    for (const example of examples.filter((line) => hasHolder || !line.includes('upgrade'))) {
      const text = await run('sh', ['-c', example], { env });
      answers.push(example.includes('/metrics') ? text.includes('sluice_mounts 1') : JSON.parse(text));
    }
    const status = expect.objectContaining({ id: 1, mountPoint });
    const upgraded = hasHolder ? [{ pid: expect.any(Number), stallMs: expect.any(Number) }] : [];
    expect(answers).toEqual([
      ...[
        expect.objectContaining({ isHeld: hasHolder }),
        status,
        { pid: expect.any(Number), mounts: [status] },
        status,
      ],
      ...[{ pageExact: true }, { profile: expect.anything(), lost: 0 }, status, true, ...upgraded, {}],
    ]);
    expect(await daemon.stop()).toMatchObject({ status: 0 });
  });
});

describe.skipIf(!has('systemd-analyze'))('docs/systemd', () => {
  it('has units that systemd takes', () => {
    const units = ['socket', 'service'].map((kind) =>
      fileURLToPath(new URL(`../../docs/systemd/sluiced.${kind}`, import.meta.url)),
    );
    const complaints = execFileSync('systemd-analyze', ['verify', '--man=no', ...units], { encoding: 'utf8' });
    expect(complaints).toBe('');
  });
});
