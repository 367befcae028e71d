import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertTree } from '../support/conformance-image.ts';
import { content } from '../support/content.ts';
import { mounts } from '../support/mounts.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot, reportMissing } from '../support/tools.ts';

/**
 * Executes a file of the mount, with a signal on its way that it handles. While the kernel is busy with exec it cannot be
 * delivered, and each wait for a page is interrupted; a page that cannot be had then is SIGSEGV.
 */
const executor = `
import os, signal, sys
signal.signal(signal.SIGURG, lambda *_: None)
print('ready', flush=True)
os.execv(sys.argv[1], ['bash', '-c', 'exit 7'])
`;

if (!has('python3')) reportMissing('python3: signals to who waits for a page are not tested');
describe.skipIf(!isRoot() || !has('python3'))('a reader that waits for the registry', () => {
  let directory: string;
  let registry: TestRegistry;
  let mounted: SluiceMount;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const files = [
      { path: 'program', mode: 0o100755, data: [{ offset: 0, bytes: readFileSync('/bin/bash') }] },
      { path: 'file', mode: 0o100755, data: [{ offset: 0, bytes: content('signals', 300_000) }] },
    ];
    const image = await convertTree(
      [{ path: '', mode: 0o040755 }, ...files],
      directory,
      `docker://${registry.host}/app:1`,
    );
    mounted = await SluiceMount.start(
      ['--no-prefetch', '--on-failure', 'wait:60s', '--cache-dir', path.join(directory, 'cache'), image],
      path.join(directory, 'mounted'),
    );
    // The kernel tells of signals to who asks for a page itself, not to who waits for one that is read ahead.
    const { minor } = mounts().find(({ target }) => target === mounted.directory)!;
    writeFileSync(`/sys/class/bdi/0:${minor}/read_ahead_kb`, '0');
    registry.requests.clear();
  });
  afterAll(async () => {
    registry.faults.clear();
    await mounted.stop('--force', '--lazy');
    await registry.close();
    await removeTemporaryDirectory(directory);
  });

  const asked = (count: number): Promise<true> =>
    eventually('the request', () => (registry.requests.of('blob').length >= count ? true : undefined));

  it('executes a program in spite of signals that it handles', async () => {
    registry.faults.add({ on: 'blob', times: 1000, fault: { kind: 'delay', ms: 200 } });
    const child = spawn('python3', ['-c', executor, mounted.at('program')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await asked(1);
    const signals = setInterval(() => child.kill('SIGURG'), 20);
    const ended = await once(child, 'exit');
    clearInterval(signals);
    expect(ended).toEqual([7, null]);
    expect(registry.requests.of('blob').length, 'chunks waited for').toBeGreaterThan(2);
    registry.faults.clear();
  });

  it('is killed by SIGKILL, also after a signal that it handled', async () => {
    const before = registry.requests.of('blob').length;
    registry.faults.add({ on: 'blob', times: 1000, fault: { kind: 'stall', after: 0 } });
    const child = spawn('python3', ['-c', executor, mounted.at('file')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await asked(before + 1);
    child.kill('SIGURG');
    child.kill('SIGKILL');
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
  });
});
