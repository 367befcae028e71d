import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StartReport } from '../../src/runtime/start-report.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { realImages } from '../support/images.ts';
import { mounts } from '../support/mounts.ts';
import { eventually, run } from '../support/process.ts';
import { freePort, httpGet, redisPing } from '../support/services.ts';
import { Sluice, type SluiceResult, sluice } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { convertedImage, slow } from './converted.ts';

const images = realImages();
const sluiceCommand = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));

describe.skipIf(images === undefined || !isRoot() || !has('runc'))('sluice run', slow, () => {
  let directory = '';
  const references: Record<string, string> = {};

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    for (const tag of ['python', 'nginx', 'redis'])
      references[tag] = (await convertedImage(images?.layout ?? '', tag)).reference;
  }, slow.timeout);
  afterAll(() => removeTemporaryDirectory(directory));

  const containers = (): string => path.join(directory, 'cache/containers');
  const command = (options: readonly string[], tag: string, ...args: readonly string[]): string[] => [
    ...['run', '--runtime', 'runc', '--cache-dir', path.join(directory, 'cache'), ...options],
    ...[references[tag] ?? '', ...args],
  ];
  const inPython = (options: readonly string[], ...args: readonly string[]): Promise<SluiceResult> =>
    sluice(command(options, 'python', ...args));
  const shell = async (options: readonly string[], script: string): Promise<string> => {
    const { status, stdout, stderr } = await inPython(options, 'sh', '-c', script);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    return stdout;
  };
  const started = async (running: Sluice): Promise<void> => {
    let said = '';
    running.process.stdout?.on('data', (chunk: Buffer) => {
      said += chunk;
    });
    await eventually('the container to begin', () => (said.includes('begun\n') ? true : undefined));
  };
  /** Containers and mounts. */
  const leftovers = async (): Promise<string[]> => {
    const mounted = mounts().filter(({ target }) => target.startsWith(directory));
    return [...(await readdir(containers())), ...mounted.map(({ target }) => target)];
  };

  it('runs the image’s command, and leaves nothing behind', async () => {
    const report = path.join(directory, 'report.json');
    expect(await inPython(['--report', report])).toEqual({ status: 0, stdout: 'hello from python\n', stderr: '' });
    expect(await leftovers()).toEqual([]);
    const { version, startedAt, events, chunks } = JSON.parse(await readFile(report, 'utf8')) as StartReport;
    expect(version).toBe(1);
    expect(Math.abs(Date.now() - startedAt)).toBeLessThan(slow.timeout);
    expect(events.map(({ name }) => name)).toEqual(['mounted', 'rootfs', 'runtime', 'exit']);
    expect(chunks.counts.length).toBeGreaterThan(0);
    for (const [ms, device, chunk] of chunks.arrivals) {
      expect(ms).toBeLessThanOrEqual(events.at(-1)?.ms ?? 0);
      expect(chunk).toBeLessThan(chunks.counts[device] ?? 0);
    }
    expect(chunks.arrivals.length).toBeGreaterThan(0);
  });

  it.each([
    ['exit 3', 3],
    ['kill -USR2 $$; sleep 9', 0x80 + 12],
    ['exit 125', 125],
  ])('passes on how "%s" ends, and both streams', async (script, status) => {
    // A child, because signals without a handler do nothing to the first process of a container.
    const { status: outer, ...streams } = await inPython([], 'sh', '-c', `echo out; echo err >&2; sh -c '${script}'`);
    expect({ outer, ...streams }).toMatchObject({ outer: status, stdout: 'out\n' });
    expect(streams.stderr).toMatch(/^err\n/);
  });

  it.each([
    ['a program that is not there', [], ['/no/such'], 125, 'SLUICE_RUNTIME_FAILED'],
    ['a user that is not there', ['--user', 'ghost'], ['true'], 125, 'SLUICE_USER_NOT_FOUND'],
    ['an unknown image', [], ['true'], 125, 'SLUICE_IMAGE_NOT_FOUND'],
    ['a volume that is not there', ['-v', '/no/such:/data'], ['true'], 125, 'SLUICE_RUNTIME_FAILED'],
    ['a terminal where there is none', ['-t'], ['true'], 125, 'SLUICE_OPTION_INVALID'],
    ['a bad name', ['--name', '../x'], ['true'], 125, 'SLUICE_OPTION_INVALID'],
  ])('fails before it begins with %s', async (what, options, args, status, code) => {
    const [tag, ...words] = [what === 'an unknown image' ? 'none' : 'python', ...args];
    if (tag === 'none') references.none = `${references.python}-none`;
    const result = await sluice(command(options, tag, ...words));
    expect(result).toMatchObject({ status, stdout: '' });
    expect(result.stderr).toContain(`(${code})\n`);
    expect(await leftovers()).toEqual([]);
  });

  it('runs as a user of the image, in a folder that is made for it', async () => {
    const script = 'id -un; id -gn; id -G; pwd';
    expect(await shell(['-u', 'games', '-w', '/made/here'], script)).toBe('games\ngames\n60\n/made/here\n');
    expect(await shell(['-u', 'games:tty'], script)).toBe('games\ntty\n5\n/\n');
    expect(await shell(['-u', '1234:5'], 'id -u; id -g')).toBe('1234\n5\n');
  });

  it('gives it its name, its variables, and name resolution', async () => {
    const script = 'hostname; echo $A-$B; grep -c run-test-name /etc/hosts; cat /etc/resolv.conf';
    const said = await shell(['--name', 'run-test-name', '-e', 'A=1', '-e', 'B=a b'], script);
    const resolvers = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
    expect(said).toBe(`run-test-name\n1-a b\n1\n${resolvers}`);
  });

  it('has a loopback interface alone without a network', async () => {
    expect(await shell(['--network', 'none'], 'cat /proc/net/dev | tail -n +3 | cut -d: -f1')).toBe('    lo\n');
  });

  it('writes to a layer of its own, to volumes, and not to what is read only', async () => {
    const [writable, fixed] = [path.join(directory, 'writable'), path.join(directory, 'fixed')];
    await Promise.all([mkdir(writable), mkdir(fixed)]);
    await writeFile(path.join(fixed, 'file'), 'from outside\n');
    const volumes = ['-v', `${writable}:/data`, '-v', `${fixed}:/fixed:ro`];
    await shell(
      volumes,
      'echo changed > /etc/os-release; rm /app/app.py; cp /fixed/file /data/copy; ! touch /fixed/x 2>&-',
    );
    expect(await readFile(path.join(writable, 'copy'), 'utf8')).toBe('from outside\n');
    expect(await shell([], 'cat /app/app.py | wc -l')).not.toBe('0\n');
    expect(await shell(['--read-only'], '! touch /x 2>&- && touch /dev/shm/x && echo refused')).toBe('refused\n');
  });

  it('may not do what changes the machine', async () => {
    expect(await shell([], '! mount -t tmpfs none /mnt 2>&- && test ! -w /proc/sys/kernel/panic && echo refused')).toBe(
      'refused\n',
    );
  });

  it('fetches nothing to change an owner or a mode', async () => {
    const report = path.join(directory, 'chown.json');
    const cold = path.join(directory, 'cold');
    const options = ['--report', report, '--cache-dir', cold];
    await shell(options, 'true');
    const { length } = (JSON.parse(await readFile(report, 'utf8')) as StartReport).chunks.arrivals;
    await shell(options, 'chown 1:1 /usr/bin/python3* && chmod 700 /usr/bin/perl');
    const { arrivals } = (JSON.parse(await readFile(report, 'utf8')) as StartReport).chunks;
    // What chown and chmod are themselves: far less than python3 and perl, of several megabytes each.
    expect(length).toBeGreaterThan(0);
    expect(arrivals.length).toBeLessThan(20);
  });

  it.each([
    ['SIGTERM', 'TERM'],
    ['SIGINT', 'INT'],
    ['SIGHUP', 'HUP'],
    ['SIGUSR1', 'USR1'],
  ] as const)('passes %s on', async (signal, name) => {
    const script = `trap 'echo got ${name}; exit 7' ${name}; echo begun; while :; do sleep 0.1; done`;
    const running = new Sluice(command([], 'python', 'sh', '-c', script));
    await started(running);
    running.process.kill(signal);
    expect(await running.ended).toEqual({ status: 7, stdout: `begun\ngot ${name}\n`, stderr: '' });
    expect(await leftovers()).toEqual([]);
  });

  it('kills a container that ignores signals with the third one', async () => {
    const running = new Sluice(command([], 'python', 'sh', '-c', 'echo begun; while :; do sleep 0.1; done'));
    await started(running);
    for (let i = 0; i < 3; i++) {
      running.process.kill('SIGTERM');
      // The kernel keeps one signal of a kind: each has to arrive before the next is sent.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await running.ended).toMatchObject({ status: 137 });
    expect(await leftovers()).toEqual([]);
  });

  it('gives a name to one container at a time', async () => {
    const running = new Sluice(command(['--name', 'run-test-one'], 'python', 'sh', '-c', 'echo begun; sleep 60'));
    await started(running);
    const second = await inPython(['--name', 'run-test-one'], 'true');
    expect(second).toMatchObject({ status: 125, stdout: '' });
    expect(second.stderr).toContain('(SLUICE_CONTAINER_EXISTS)');
    for (let i = 0; i < 3; i++) {
      running.process.kill('SIGTERM');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await running.ended;
  });

  it('is swept up by the next one when it was killed', async () => {
    const running = new Sluice(command([], 'python', 'sh', '-c', 'echo begun; sleep 600'));
    await started(running);
    const gone = once(running.process, 'exit');
    running.process.kill('SIGKILL');
    await gone;
    expect(await leftovers()).not.toEqual([]);
    expect(await shell([], 'echo next')).toBe('next\n');
    expect(await leftovers()).toEqual([]);
  });

  it.skipIf(!has('docker-registry', 'skopeo'))('goes on without its registry, but for what is not here', async () => {
    const cache = path.join(directory, 'registry');
    const [report, marker] = [path.join(directory, 'registry.json'), path.join(directory, 'marker')];
    await mkdir(marker);
    const registry = await DockerRegistry.start();
    const start = async (): Promise<Sluice> => {
      try {
        references.registry = `docker://${registry.host}/python:sluice`;
        const copy = ['copy', '--quiet', '--preserve-digests', '--dest-tls-verify=false'];
        await run('skopeo', [...copy, references.python ?? '', references.registry]);
        const script = 'echo begun; until test -e /marker/go; do sleep 0.1; done; perl -v; echo "perl: $?"; echo done';
        const options = ['--no-prefetch', '--on-failure', 'wait:1s', '--report', report, '--cache-dir', cache];
        const words = command([...options, '-v', `${marker}:/marker`], 'registry', 'sh', '-c', script);
        const running = new Sluice(words);
        await started(running);
        return running;
      } finally {
        await registry.close();
      }
    };
    const running = await start();
    await writeFile(path.join(marker, 'go'), '');
    const { status, stdout, stderr } = await running.ended;
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringMatching(/perl: [1-9]\d*\ndone\n$/) });
    expect(stderr).toContain('Cannot read "/usr/bin/perl"');
    const { events, requests, bytes } = JSON.parse(await readFile(report, 'utf8')) as StartReport;
    expect(events.map(({ name }) => name)).toEqual(['manifest', 'bootstrap', 'mounted', 'rootfs', 'runtime', 'exit']);
    expect(requests).toBeGreaterThan(2);
    expect(bytes).toBeGreaterThan(10_000);
    expect(await readdir(path.join(cache, 'containers'))).toEqual([]);
  });

  it('records what it reads as a profile of the image', async () => {
    const traced = ['--cache-dir', path.join(directory, 'traced')];
    expect(await inPython([...traced, '--trace', '--profile', 'mine'])).toMatchObject({ status: 0, stderr: '' });
    const shown = await sluice(['trace', 'show', '--profile', 'mine', ...traced, references.python ?? '']);
    expect(shown.stdout).toContain('/app/app.py');
  });

  it('can be traced while it runs', async () => {
    const script = 'trap "exit 0" TERM; echo begun; while :; do sleep 0.1; done';
    const running = new Sluice(command([], 'python', 'sh', '-c', script));
    await started(running);
    const trace = (...args: readonly string[]): Promise<SluiceResult> =>
      sluice(['trace', ...args, '--cache-dir', path.join(directory, 'cache')]);
    const image = references.python ?? '';
    try {
      const found = async (): Promise<true | undefined> => (await trace('start', image)).status === 0 || undefined;
      await eventually('the container to be found', found);
      expect(await trace('stop', image, '--profile', 'running')).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('as "running"'),
      });
    } finally {
      running.process.kill('SIGTERM');
    }
    expect((await running.ended).status).toBe(0);
  });

  it('fetches everything first when it is told to', async () => {
    const report = path.join(directory, 'eager.json');
    await shell(['--eager', '--report', report, '--cache-dir', path.join(directory, 'eager')], 'true');
    const { chunks } = JSON.parse(await readFile(report, 'utf8')) as StartReport;
    expect(chunks.arrivals.length).toBe(chunks.counts.reduce((sum, count) => sum + count));
  });

  it.skipIf(!has('crun', 'unshare'))('works with crun where control groups are of one kind', async () => {
    const args = command([], 'python', 'sh', '-c', 'id -u; pwd; exit 3').map((word) =>
      word === 'runc' ? 'crun' : word,
    );
    const script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$0" "$@"';
    const child = spawnSync('unshare', ['--mount', 'sh', '-c', script, process.execPath, sluiceCommand, ...args]);
    expect([child.status, child.stdout.toString(), child.stderr.toString()]).toEqual([3, '0\n/\n', '']);
  });

  it('serves: nginx', async () => {
    const port = await freePort();
    const change = `sed -i 's/listen 18080/listen ${port}/' /etc/nginx/sites-available/default`;
    const script = `${change} && exec nginx -g 'daemon off;'`;
    const running = new Sluice(command([], 'nginx', 'sh', '-c', script));
    expect(await eventually('nginx to answer', () => httpGet(port))).toBe('hello-nginx\n');
    running.process.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ status: 0 });
  });

  it('serves: redis', async () => {
    const port = await freePort();
    const running = new Sluice(command([], 'redis', 'redis-server', '--port', String(port), '--save', ''));
    expect(await eventually('redis to answer', () => redisPing(port))).toBe('+PONG\r\n');
    running.process.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ status: 0 });
  });
});
