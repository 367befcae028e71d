import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertTree } from '../support/conformance-image.ts';
import { content, sha256Hex } from '../support/content.ts';
import { runBytes } from '../support/process.ts';
import { Sluice, sluice } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const rounds = 50;
const names = Array.from({ length: 24 }, (_, i) => `file-${i}`);
const bytesOf = (name: string): Uint8Array => content(name, 150_000);

describe.skipIf(!isRoot() || !has('cat'))('kill -9 of the serving process while files are read', () => {
  let directory: string;
  let mounted: string;
  let image: string;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    mounted = path.join(directory, 'mnt');
    await runBytes('mkdir', [mounted]);
    const files = names.map((name) => ({ path: name, mode: 0o100644, data: [{ offset: 0, bytes: bytesOf(name) }] }));
    image = await convertTree([{ path: '', mode: 0o040755 }, ...files], directory);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  /** Serves in the foreground; resolves when the mount answers. */
  async function serve(): Promise<Sluice> {
    const server = new Sluice(['mount', '--foreground', '--cache-dir', path.join(directory, 'cache'), image, mounted]);
    await Promise.race([
      once(server.process.stderr!, 'data'),
      server.ended.then(({ stderr }) => Promise.reject(stderr)),
    ]);
    return server;
  }

  /** Reads files until one fails. @returns names of those whose content was not right, among those that were read */
  async function readUntilFailure(count: { read: number }): Promise<string[]> {
    const wrong: string[] = [];
    for (const name of names) {
      const cat = spawn('cat', [path.join(mounted, name)], { stdio: ['ignore', 'pipe', 'ignore'] });
      const parts: Buffer[] = [];
      cat.stdout.on('data', (part: Buffer) => parts.push(part));
      const [status] = await once(cat, 'close');
      const bytes = Buffer.concat(parts);
      // What came before a failure has to be right, too.
      if (!bytes.equals(bytesOf(name).subarray(0, bytes.length))) wrong.push(name);
      if (status !== 0) break;
      if (bytes.length !== bytesOf(name).length) wrong.push(name);
      count.read++;
    }
    return wrong;
  }

  it(`leaves nothing wrong behind, ${rounds} times; a new mount has everything right`, {
    timeout: 180_000,
  }, async () => {
    const count = { read: 0 };
    for (let round = 0; round < rounds; round++) {
      const server = await serve();
      const reading = [readUntilFailure(count), readUntilFailure(count)];
      // Another moment each time: the cache fills in the first rounds, so that is where the writes are.
      const kill = setTimeout(() => server.process.kill('SIGKILL'), (round * 7) % 90);
      expect((await Promise.all(reading)).flat()).toEqual([]);
      clearTimeout(kill);
      server.process.kill('SIGKILL');
      await server.ended;
      expect((await sluice(['umount', '--force', mounted])).status).toBe(0);
      if (round % 10 === 9) await runBytes('rm', ['-rf', path.join(directory, 'cache')]);
    }
    expect(count.read).toBeGreaterThan(rounds);

    const server = await serve();
    for (const name of names) {
      expect(sha256Hex(await runBytes('cat', [path.join(mounted, name)]))).toBe(sha256Hex(bytesOf(name)));
    }
    expect((await sluice(['umount', mounted])).status).toBe(0);
    expect((await server.ended).status).toBe(0);
  });
});
