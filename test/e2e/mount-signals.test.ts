import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertTree } from '../support/conformance-image.ts';
import { content, sha256Hex } from '../support/content.ts';
import { eventually } from '../support/process.ts';
import { TestRegistry } from '../support/registry/test-registry.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';

/** Large enough not to share a chunk. */
const contents = new Map(['one', 'two'].map((name) => [name, content(name, 300_000)] as const));

/** Reads a file in its main thread, where a signal that it handles interrupts it. */
const reader = `
  process.on('SIGUSR2', () => undefined);
  process.stdout.write('ready');
  const bytes = require('fs').readFileSync(process.argv[1]);
  process.stdout.write(require('crypto').createHash('sha256').update(bytes).digest('hex'));
`;

describe.skipIf(!isRoot())('a reader that waits for the registry', () => {
  let directory: string;
  let registry: TestRegistry;
  let mounted: SluiceMount;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await TestRegistry.start();
    const files = Array.from(contents, ([name, bytes]) => ({
      path: name,
      mode: 0o100644,
      data: [{ offset: 0, bytes }],
    }));
    const image = await convertTree(
      [{ path: '', mode: 0o040755 }, ...files],
      directory,
      `docker://${registry.host}/app:1`,
    );
    mounted = await SluiceMount.start(
      ['--no-prefetch', '--read-timeout', '60', '--cache-dir', path.join(directory, 'cache'), image],
      path.join(directory, 'mounted'),
    );
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

  it('gets its bytes in spite of signals that it handles', async () => {
    registry.faults.add({ on: 'blob', fault: { kind: 'delay', ms: 700 } });
    const child = spawn(process.execPath, ['-e', reader, mounted.at('one')], { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await asked(1);
    for (let i = 0; i < 3; i++) child.kill('SIGUSR2');
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(output).toBe(`ready${sha256Hex(contents.get('one')!)}`);
  });

  it('is killed by SIGKILL, also after a signal that it handled', async () => {
    const before = registry.requests.of('blob').length;
    registry.faults.add({ on: 'blob', times: 1000, fault: { kind: 'stall', after: 0 } });
    const child = spawn(process.execPath, ['-e', reader, mounted.at('two')], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await asked(before + 1);
    child.kill('SIGUSR2');
    child.kill('SIGKILL');
    expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
    registry.faults.clear();
  });
});
