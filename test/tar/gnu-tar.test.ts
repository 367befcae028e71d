import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../support/process.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has } from '../support/tools.ts';
import { listing, parseTar, pythonListing } from './archives.ts';

const hasTools = has('tar', 'python3');
let directory = '';
const inTree = (name: string): string => path.join(directory, 'tree', name);

/** What every format can say, and for `full` what Seventh Edition and ustar cannot. */
function makeTree(): void {
  mkdirSync(inTree('directory'), { recursive: true });
  writeFileSync(inTree('directory/file'), 'content\n');
  writeFileSync(inTree('empty'), '');
  writeFileSync(inTree('block'), Buffer.alloc(512, 'b'));
  writeFileSync(inTree('tool'), 'x', { mode: 0o755 });
  chmodSync(inTree('tool'), 0o6755);
  symlinkSync('directory/file', inTree('symlink'));
  linkSync(inTree('block'), inTree('hardlink'));
  utimesSync(inTree('empty'), 1_234_567_890, 1_234_567_890);
  mkdirSync(inTree('full/long'), { recursive: true });
  const long = 'n'.repeat(200);
  writeFileSync(inTree(`full/${long}`), 'long name');
  symlinkSync(`${'t/'.repeat(300)}end`, inTree('full/long/link'));
  writeFileSync(Buffer.concat([Buffer.from(inTree('full/raw-')), Buffer.from([0xff, 0xc3, 0xa9])]), 'raw');
  writeFileSync(inTree('full/new\nline'), 'newline');
  utimesSync(inTree('full/long'), -86_400, -86_400);
}

function makeSparse(name: string, runs: number, size: number): void {
  const file = openSync(inTree(`full/${name}`), 'w');
  for (let run = 0; run < runs; run++) writeSync(file, `run ${run}`, run * 65_536 + 8192);
  ftruncateSync(file, size);
  closeSync(file);
}

async function gnuTar(name: string, ...args: string[]): Promise<string> {
  const archive = path.join(directory, `${name}.tar`);
  await run('tar', ['-C', path.join(directory, 'tree'), '--sort=name', '-cf', archive, ...args]);
  return archive;
}

describe.skipIf(!hasTools)('TarParser reads what GNU tar writes as Python does', () => {
  beforeAll(() => {
    directory = makeTemporaryDirectory();
    makeTree();
    makeSparse('sparse-few', 3, 1_000_000);
    makeSparse('sparse-many', 200, 200 * 65_536);
    makeSparse('sparse-hole', 0, 5_000_000);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  it.each([
    ['v7', '--exclude=./full'],
    ['ustar', '--exclude=./full'],
    ['oldgnu', '--exclude=./none'],
    ['gnu', '--exclude=./none'],
    ['posix', '--exclude=./none'],
  ])('--format=%s', async (format, exclude) => {
    const archive = await gnuTar(format, `--format=${format}`, exclude, '.');
    const members = parseTar(readFileSync(archive));
    expect(members.length).toBeGreaterThanOrEqual(8);
    expect(listing(members)).toEqual(await pythonListing(archive));
  });

  it.each([
    ['gnu', '--format=gnu'],
    ['PAX 0.0', '--format=posix', '--sparse-version=0.0'],
    ['PAX 0.1', '--format=posix', '--sparse-version=0.1'],
    ['PAX 1.0', '--format=posix', '--sparse-version=1.0'],
  ])('--sparse, %s', async (name, ...options) => {
    const archive = await gnuTar(name, '--sparse', ...options, './full');
    const members = parseTar(readFileSync(archive), 1000);
    const runs = members.map(({ entry }) => entry.sparse?.length ?? -1).filter((count) => count >= 0);
    expect(runs).toEqual([3, 0, 200]);
    expect(listing(members)).toEqual(await pythonListing(archive));
  });
});
