import { readdirSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Lane, LaneContainer, LaneContext } from '../../src/startup/lane.ts';
import { ContainerdLane } from '../../src/startup/lanes/containerd.ts';
import { EstargzLane } from '../../src/startup/lanes/estargz.ts';
import { FloorLane } from '../../src/startup/lanes/floor.ts';
import { PodmanLane } from '../../src/startup/lanes/podman.ts';
import { SkopeoUmociLane } from '../../src/startup/lanes/skopeo-umoci.ts';
import type { Workload } from '../../src/startup/workload.ts';
import { CountingProxy } from '../support/counting-proxy.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { mounts } from '../support/mounts.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot, reportMissing } from '../support/tools.ts';

const slow = { timeout: 120_000 } as const;

const greeting: Workload = {
  name: 'greeting',
  image: 'small',
  command: ['/bin/sh', '-c', 'echo "hello $WHO"; echo and more >&2; cat /bin/cat >/dev/null && exit 7'],
  environment: { WHO: 'world' },
  ready: { kind: 'exit', status: 7 },
  timeoutMs: 60_000,
};

/** Every runtime wants these, and some images have them not. */
const folders = ['/proc', '/sys', '/dev', '/etc', '/run', '/tmp'];

/** Never ends by itself, and does not listen to SIGTERM. */
const stubborn: Workload = {
  ...greeting,
  name: 'stubborn',
  command: ['/bin/sh', '-c', 'trap "" TERM; echo up; while :; do sleep 1; done'],
  ready: { kind: 'line', pattern: '^up$' },
};

interface Bench {
  readonly context: (workload: Workload) => LaneContext;
  /** Layers the registry was asked for since the last time. */
  readonly takeLayers: () => string[];
}

/** `/lib` and `/lib/x86_64-linux-gnu` of a file there: ctr-remote wants every folder to have an entry. */
function parents(file: string): string[] {
  const parent = path.dirname(file);
  return parent === '/' ? [] : [...parents(parent), parent];
}

/** Programs of this machine with the libraries they need, in two layers: an image that is fetched and converted quickly. */
async function makeImage(folder: string): Promise<string> {
  const layout = path.join(folder, 'layout');
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', `${layout}:small`]);
  for (const programs of [['/bin/sh'], ['/bin/cat', '/bin/sleep']]) {
    const libraries = (await run('ldd', programs)).match(/\/\S+(?= \()/g) ?? [];
    const files = [...programs, ...libraries];
    const members = new Set([...folders, ...files.flatMap(parents), ...files]);
    const tar = path.join(folder, 'layer.tar');
    const options = ['--create', '--dereference', '--absolute-names', '--no-recursion', '--file', tar];
    await run('tar', [...options, ...members]);
    await run('umoci', ['raw', 'add-layer', '--image', `${layout}:small`, tar]);
  }
  const command = ['/bin/sh', '-c', 'echo the own command'].flatMap((word) => ['--config.cmd', word]);
  await run('umoci', ['config', '--image', `${layout}:small`, '--config.env', 'PATH=/bin', ...command]);
  return `oci:${layout}:small`;
}

/** A lane and an image in a registry. */
async function withLane(lane: Lane, use: (bench: Bench) => Promise<void>): Promise<void> {
  const registry = await DockerRegistry.start();
  const proxy = await CountingProxy.start(registry.host);
  const layers = (): string[] =>
    proxy
      .take()
      .filter(({ method, path, received }) => method === 'GET' && path.includes('/blobs/') && received > 10_000)
      .map(({ path }) => path);
  try {
    await withTemporaryDirectory(async (directory) => {
      const image = await makeImage(directory);
      const to = `docker://${registry.host}/small:plain`;
      await run('skopeo', ['copy', '--quiet', '--dest-tls-verify=false', image, to]);
      const folder = `${directory}/l`;
      await mkdir(folder);
      const signal = AbortSignal.timeout(slow.timeout);
      const context = (workload: Workload): LaneContext => ({
        workload,
        registry: proxy.host,
        repository: 'small:plain',
        directory: folder,
        signal,
      });
      try {
        await use({ context, takeLayers: layers });
      } finally {
        await lane.close();
      }
      expect(remains(folder)).toEqual([]);
      expect(readdirSync(folder, { recursive: true }).filter((name) => !`${name}`.startsWith('runc'))).toEqual([]);
    });
  } finally {
    await proxy.close();
    await registry.close();
  }
}

/** Processes, mounts and control groups that are there because of a lane. Other processes may have lanes of theirs. */
function remains(folder: string): string[] {
  const own = new RegExp(`sluice-bench-${process.pid}-|libpod`);
  const commandLine = (pid: string): string => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
    } catch {
      return '';
    }
  };
  const groups = readdirSync('/sys/fs/cgroup', { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && own.test(entry.name),
  );
  return [
    ...readdirSync('/proc')
      .filter((name) => Number.isInteger(Number(name)))
      .map(commandLine)
      .filter((line) => line.includes(folder)),
    ...mounts()
      .map(({ target }) => target)
      .filter((target) => target.startsWith(folder)),
    ...groups.map((entry) => `${entry.parentPath}/${entry.name}`),
  ];
}

async function linesOf(container: LaneContainer): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of container.lines) lines.push(line);
  return lines;
}

const lanes: readonly (() => Lane)[] = [
  () => new ContainerdLane(),
  () => new PodmanLane(),
  () => new SkopeoUmociLane(),
  () => new EstargzLane(false),
  () => new EstargzLane(true),
  () => new FloorLane(async () => 200_000),
];

const usable: Lane[] = [];
for (const make of lanes) {
  const lane = make();
  const reason = await lane.unavailable();
  if (reason === undefined) usable.push(lane);
  // No distribution packages its daemon, so that no CI can be asked to have it.
  else if (lane instanceof EstargzLane) console.warn(`SKIPPED: lane ${lane.name}: ${reason}`);
  else reportMissing(`lane ${lane.name}: ${reason}`);
}

describe.skipIf(!isRoot() || !has('docker-registry', 'skopeo', 'umoci'))('a lane', slow, () => {
  // Watching a workload that does not end takes ctr-remote ten seconds.
  const workloadsOf = ({ name }: Lane): Workload[] => (name === 'estargz' ? [greeting] : [greeting, stubborn]);

  it.each(usable.map((lane) => [lane.name, lane] as const))(
    '%s: wipe() is cold, start() runs the workload, stop() leaves nothing',
    (_name, lane) =>
      withLane(lane, async ({ context, takeLayers }) => {
        const workloads = workloadsOf(lane);
        for (const workload of workloads) await lane.prepare(context(workload));
        takeLayers();
        for (const workload of [greeting, ...workloads]) {
          await lane.wipe(context(workload));
          const container = await lane.start(context(workload));
          try {
            if (workload === stubborn) {
              const first = await container.lines[Symbol.asyncIterator]().next();
              expect(first.value).toBe('up');
              const stopped = performance.now();
              await container.stop();
              expect(performance.now() - stopped).toBeLessThan(5000);
              expect(await container.ended).not.toBe(0);
            } else {
              expect((await linesOf(container)).sort()).toEqual(['and more', 'hello world']);
              expect(await container.ended).toBe(7);
            }
          } finally {
            await container.stop();
          }
          expect(takeLayers(), 'layers asked for').not.toEqual([]);
          const pulled = container.pulledMs() ?? 0;
          expect(container.mountedMs() ?? pulled).toBeGreaterThanOrEqual(pulled);
        }
      }),
  );

  it.skipIf(!usable.some(({ name }) => name === 'estargz'))('estargz: an image that cannot be lazy is refused', () => {
    const lane = new EstargzLane(false);
    return withLane(lane, async ({ context }) => {
      await lane.prepare(context(greeting));
      const { registry, repository } = context(greeting);
      const [plain, converted] = [repository, `${repository}-${lane.name}-${greeting.name}`];
      const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      const places = [plain, converted].map((name) => `docker://${registry}/${name}`);
      await run('skopeo', ['copy', '--quiet', ...tls, ...places]);
      await lane.wipe(context(greeting));
      await expect(lane.start(context(greeting))).rejects.toThrow('pulled 2 of 2 layers as a whole');
    });
  });
});
