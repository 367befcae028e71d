import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { content } from '../support/content.ts';
import { convertLayers } from '../support/convert-layers.ts';
import { memoryImage, tarBytes } from '../support/image.ts';
import { errorCode, Sluice, type SluiceResult, sluice } from '../support/sluice.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';

const run = promisify(execFile);

describe.skipIf(!isRoot() || !has('dd'))('sluice trace', () => {
  let directory = '';
  let reference = '';
  const mounts: SluiceMount[] = [];
  const cacheDirectory = (): string => path.join(directory, 'cache');
  const trace = (...args: readonly string[]): Promise<SluiceResult> =>
    sluice(['trace', ...args, '--cache-dir', cacheDirectory()]);

  async function mount(name: string, ...flags: readonly string[]): Promise<SluiceMount> {
    const args = [...flags, '--no-prefetch', '--cache-dir', cacheDirectory(), reference];
    const mounted = await SluiceMount.start(args, path.join(directory, name));
    mounts.push(mounted);
    return mounted;
  }

  const read = (mounted: SluiceMount, file: string, page: number, pages = 1): Promise<unknown> =>
    run('dd', [`if=${mounted.at(file)}`, 'of=/dev/null', 'bs=4096', `skip=${page}`, `count=${pages}`]);

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    const members = ['a', 'b'].map((name) => ({ name, content: content(name, 400_000) }));
    ({ reference } = await convertLayers(await memoryImage([await tarBytes(members)]), directory));
    await mkdir(cacheDirectory());
  });
  afterAll(async () => {
    for (const mounted of mounts) if (mounted.isAlive()) await mounted.stop('--lazy');
    await removeTemporaryDirectory(directory);
  });

  it('records a mount, adds what is recorded again, and shows it', async () => {
    const mounted = await mount('one');
    await read(mounted, 'a', 5);
    const started = await trace('start', mounted.directory, '--json');
    expect(JSON.parse(started.stdout)).toEqual([
      { image: reference, mountPoint: mounted.directory, pid: mounted.pid, pageExact: true },
    ]);
    await read(mounted, 'a', 5);
    await read(mounted, 'b', 0, 3);
    expect(await trace('stop', mounted.directory)).toMatchObject({
      status: 0,
      stdout: `recorded ${mounted.directory} as "default": 4 pages of 2 files, 16.0 KiB\n`,
    });
    await trace('start', reference);
    await read(mounted, 'a', 6);
    expect((await trace('stop', reference)).stdout).toBe(
      `recorded ${mounted.directory} as "default": 1 page of 1 file, 4.00 KiB; with 1 recording before it: 5 pages of 2 files, 20.0 KiB\n`,
    );
    expect((await trace('show', reference)).stdout).toBe(
      'PROFILE  RUNS  FILES  PAGES      SIZE  EXACT\ndefault     2      2      5  20.0 KiB    yes\n',
    );
    expect((await trace('show', mounted.directory, '--profile', 'default')).stdout).toBe(
      '/a  6  4.00 KiB\n/a  5  4.00 KiB\n/b  0-2  12.0 KiB\n',
    );
    await mounted.stop();
    expect((await trace('show', reference)).stdout).toContain('default');
    const left = await readdir(path.join(cacheDirectory(), 'run'));
    expect(left.filter((name) => name.endsWith('.sock'))).toEqual([]);
  });

  it('records from the first read on, all mounts of an image, under another name', async () => {
    const [one, two] = [await mount('three', '--trace'), await mount('four')];
    await mount('idle');
    await trace('start', two.directory);
    await read(one, 'a', 1);
    await read(two, 'b', 2);
    const { stdout } = await trace('stop', reference, '--profile', 'both', '--json');
    expect(JSON.parse(stdout)).toMatchObject([
      { recorded: { pages: 1 } },
      { profile: { name: 'both', pages: 2, runs: 2 } },
    ]);
    expect(JSON.parse((await trace('show', reference, '--profile', 'both', '--json')).stdout)).toMatchObject({
      name: 'both',
      runs: 2,
      pageExact: true,
      files: expect.arrayContaining(['/a', '/b']),
    });
  });

  it('finds no mount whose process was killed, and removes its socket', async () => {
    const at = path.join(directory, 'killed');
    await mkdir(at);
    const { process: server, ended } = new Sluice([
      ...['mount', '--foreground', '--cache-dir', cacheDirectory()],
      ...[reference, at],
    ]);
    await once(server.stderr!, 'data');
    expect((await trace('start', at)).status).toBe(0);
    server.kill('SIGKILL');
    await ended;
    const before = await readdir(path.join(cacheDirectory(), 'run'));
    expect(before.filter((name) => name.startsWith(`${server.pid}-`)).length).toBe(1);
    expect(errorCode(await trace('stop', at, '--json'))).toBe('SLUICE_MOUNT_NOT_FOUND');
    expect(await readdir(path.join(cacheDirectory(), 'run'))).toEqual(
      before.filter((name) => !name.startsWith(`${server.pid}-`)),
    );
  });

  it('says what cannot be done', async () => {
    const mounted = await mount('five');
    expect(errorCode(await trace('stop', mounted.directory, '--json'))).toBe('SLUICE_TRACE_STATE');
    await trace('start', mounted.directory);
    expect(errorCode(await trace('start', mounted.directory, '--json'))).toBe('SLUICE_TRACE_STATE');
    expect(errorCode(await trace('stop', mounted.directory, '--profile', '../x', '--json'))).toBe(
      'SLUICE_OPTION_INVALID',
    );
    expect(errorCode(await trace('show', reference, '--profile', 'none', '--json'))).toBe('SLUICE_PROFILE_NOT_FOUND');
    expect(errorCode(await trace('start', directory, '--json'))).toBe('SLUICE_MOUNT_NOT_FOUND');
  });
});
