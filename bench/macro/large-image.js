// How large is the bootstrap of an image of 123,000 files and 4 GB, and how soon is such an image mounted?
//
// Names and sizes are those of this machine's own /usr, scaled; content is made up. The first mount is not measured:
// afterwards the machine knows the image. Needs root.
//
// npm run build && node bench/macro/large-image.js [ROUNDS] [FILES] [MEGABYTES]
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';
import { writeLayout } from '../support/layout.js';
import { RandomPages } from '../support/random-pages.js';
import { publish } from '../support/result.js';
import { convert, mountImage, sluiceProgram, unmount } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { inWorkspace } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 11);
const fileCount = Number(process.argv[3] ?? 123_000);
const megabytes = Number(process.argv[4] ?? 4_040);
const pieceLength = 1 << 20;
/** Nydus v3, for an image of 123,000 files, 4.04 GB and 52 layers, as published. */
const nydusMebibytes = 6.44;

/** The directories and files of this machine's /usr, in the order of their names; sizes are bytes. */
function listRealTree() {
  const listing = execFileSync('find', ['/usr', '-xdev', '-type', 'd,f', '-printf', '%y %s %P\\0'], {
    encoding: 'latin1',
    maxBuffer: 1 << 28,
  });
  return listing
    .split('\0')
    .map((line) => /^(?<kind>.) (?<size>\d+) (?<name>[\x20-\x7e]+)$/.exec(line)?.groups)
    .filter((entry) => entry !== undefined)
    .map(({ kind, size, name }) => ({ kind, size: Number(size), name }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** As many files as asked for, of as many bytes; a tree too small is repeated in directories of other names. */
function planTree() {
  const real = listRealTree();
  const planned = [];
  let count = 0;
  for (let copy = 0; count < fileCount; copy++) {
    const top = `usr${copy === 0 ? '' : copy}`;
    planned.push({ kind: 'd', size: 0, name: top });
    for (const entry of real) {
      if (count === fileCount) break;
      if (entry.kind === 'f') count++;
      planned.push({ ...entry, name: `${top}/${entry.name}` });
    }
  }
  const scale = (megabytes * 1e6) / planned.reduce((total, { kind, size }) => total + (kind === 'f' ? size : 0), 0);
  return planned.map((entry) => ({ ...entry, size: entry.kind === 'f' ? Math.round(entry.size * scale) : 0 }));
}

async function writeTar(entries, stream) {
  const archive = pack();
  const written = pipeline(archive, stream, { end: false });
  const pages = new RandomPages(1, 64);
  for (const { kind, size, name } of entries) {
    const entry = archive.entry({ name, size, type: kind === 'f' ? 'file' : 'directory', mtime: new Date(0) });
    for (let offset = 0; offset < size; offset += pieceLength)
      if (!entry.write(pages.make(Math.min(pieceLength, size - offset)))) await once(entry, 'drain');
    entry.end();
  }
  archive.finalize();
  await written;
}

const ms = (run) => {
  const start = performance.now();
  run();
  return performance.now() - start;
};

await inWorkspace(async (directory) => {
  const entries = planTree();
  const source = await writeLayout(path.join(directory, 'source'), (stream) => writeTar(entries, stream));
  const cache = path.join(directory, 'cache');
  const image = `oci:${path.join(directory, 'converted')}:image`;
  const conversion = convert(source, image, cache);

  const mountPoint = path.join(directory, 'mount');
  mountImage(image, mountPoint, cache);
  unmount(mountPoint);
  const samples = { conversion, mount: [], emptyNode: [] };
  const mount = [sluiceProgram, 'mount', '--cache-dir', cache, image, mountPoint];
  for (let round = 0; round < rounds; round++) {
    samples.mount.push(
      ms(() => {
        execFileSync(process.execPath, mount, { stdio: ['ignore', 'ignore', 'inherit'] });
        execFileSync('ls', [mountPoint], { stdio: ['ignore', 'ignore', 'inherit'] });
      }),
    );
    unmount(mountPoint);
    samples.emptyNode.push(ms(() => execFileSync(process.execPath, ['--eval', '0'])));
  }

  const { files, chunks, bootstrapLayerSize, bootstrapSize } = conversion;
  publish({
    benchmark: 'large-image',
    parameters: { rounds, files, inodes: conversion.inodes, chunks, megabytes, bootstrapSize },
    rows: [
      {
        what: `bootstrap of ${files.toLocaleString('en')} files and ${chunks.toLocaleString('en')} chunks, in the registry`,
        value: bootstrapLayerSize / 2 ** 20,
        unit: 'MiB',
        reach: { atMost: (35 * files + 38 * chunks) / 2 ** 20 },
        against: [{ name: 'Nydus v3 (published)', value: nydusMebibytes }],
      },
      {
        what: `mount of a known image of ${megabytes.toLocaleString('en')} MB until \`ls\` has answered`,
        ...summary(samples.mount),
        unit: 'ms',
        reach: { atMost: 150 },
        against: [{ name: 'one empty Node process', ...summary(samples.emptyNode) }],
      },
    ],
    samples,
  });
});
