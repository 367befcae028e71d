// How much memory does the process that serves a mount take?
//
// Mounts the python image of test/images/build.sh with an empty cache, reads every file of it, and looks at the process.
// Needs root.
//
// npm run build && node bench/macro/memory.js [ROUNDS]
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { builtImage } from '../support/built-images.js';
import { publish } from '../support/result.js';
import { convert, mountImage, readAll, unmount } from '../support/sluice.js';
import { summary } from '../support/statistics.js';
import { inWorkspace } from '../support/workspace.js';

const rounds = Number(process.argv[2] ?? 5);
const image = 'python';

/** Megabytes. */
function memoryOf(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name) => (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)[1]) * 1024) / 1e6;
  return { resident: field('VmRSS'), peak: field('VmHWM') };
}

await inWorkspace((directory) => {
  const converted = `oci:${path.join(directory, 'converted')}:image`;
  convert(builtImage(image), converted, path.join(directory, 'conversion'));
  const samples = [];
  for (let round = 0; round < rounds; round++) {
    const mountPoint = path.join(directory, 'mount');
    const pid = mountImage(converted, mountPoint, path.join(directory, `cache-${round}`));
    const mounted = memoryOf(pid);
    readAll(mountPoint);
    samples.push({ mounted, read: memoryOf(pid) });
    unmount(mountPoint);
  }
  const row = (what, moment, kind, reach) => ({
    what: `memory of the serving process, ${image} image ${what}`,
    ...summary(samples.map((sample) => sample[moment][kind])),
    unit: 'MB',
    ...(reach === undefined ? {} : { reach }),
  });
  publish({
    benchmark: 'memory',
    parameters: { rounds, image },
    rows: [
      row('mounted', 'mounted', 'resident'),
      row('read as a whole', 'read', 'resident', { atMost: 120 }),
      row('read as a whole, peak', 'read', 'peak'),
    ],
    samples,
  });
});
