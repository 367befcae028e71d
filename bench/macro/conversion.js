// What does a conversion cost in CPU time, against the least it could: decompressing and hashing the layers?
//
// Converts the python image of test/images/build.sh from an OCI layout to another.
//
// npm run build && node bench/macro/conversion.js [ROUNDS]
import path from 'node:path';
import { builtImage, builtLayers } from '../support/built-images.js';
import { publish } from '../support/result.js';
import { sluiceProgram } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { timed } from '../support/timed.js';
import { inWorkspace, runJson } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 5);
const image = 'python';
const source = builtImage(image);
const layers = builtLayers(image);

const bytes = layers
  .map((layer) => runJson('sh', ['-c', 'gunzip <"$1" | wc -c', 'sh', layer]))
  .reduce((total, size) => total + size);

const samples = { sluice: [], floor: [] };
await inWorkspace((directory) => {
  for (let round = 0; round < rounds; round++) {
    const at = (name) => path.join(directory, `${name}-${round}`);
    const target = `oci:${at('converted')}:image`;
    const args = [sluiceProgram, 'convert', '--json', '--cache-dir', at('cache'), source, target];
    samples.sluice.push(timed(process.execPath, args));
    const script = 'for layer; do gunzip <"$layer" | sha256sum; done';
    samples.floor.push(timed('sh', ['-c', script, 'sh', ...layers]));
  }
});

const rates = (runs, kind) => summary(runs.map((run) => bytes / run[kind] / 1e6));
const row = (what, kind, reach) => ({
  what: `conversion of the ${image} image, ${what}`,
  ...rates(samples.sluice, kind),
  unit: 'MB/s',
  ...(reach === undefined ? {} : { reach }),
  against: [{ name: 'gunzip | sha256sum', ...rates(samples.floor, kind) }],
});
publish({
  benchmark: 'conversion',
  parameters: { rounds, image, tarBytes: bytes },
  rows: [row('tar bytes a CPU second', 'cpu', { atLeast: 60 }), row('tar bytes a second', 'wall')],
  samples,
});
