import path from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { type ConformanceLimits, describeConformance } from '../support/conformance.ts';
import { convertTree } from '../support/conformance-image.ts';
import { conformanceTree } from '../support/conformance-tree.ts';
import { SluiceMount } from '../support/sluice-mount.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';

/** The converter indexes a file of 6 GiB by the MiB. */
const holeUnit = 2 ** 20;

/** docs/drivers.md */
const limitsOfLibfuse: ConformanceLimits = {
  holeUnit,
  missing: {
    'any bytes': 'fuse-native decodes names and link targets as UTF-8',
    nanoseconds: 'fuse-native passes times as milliseconds',
    'times before 1970': 'fuse-native passes times without a sign',
    holes: 'libfuse 2 has no lseek: the kernel takes a file for all data',
    'access lists': 'libfuse 2 cannot ask the kernel to check them',
  },
};

describe.skipIf(!isRoot())('a mounted image', () => {
  const entries = conformanceTree();
  let directory: string;
  let image: string;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    image = await convertTree(entries, directory);
  });
  afterAll(() => removeTemporaryDirectory(directory));

  describe.each([
    ['fuse', 'native', '1'],
    ['fuse', 'native', '2'],
    ['fuse', 'portable', '1'],
    ['fuse', 'portable', '2'],
    ['libfuse', 'native', '1'],
  ])('--driver %s, SLUICE_ENGINE=%s, --workers %s', (driver, engine, workers) => {
    let mounted: SluiceMount;

    beforeAll(async () => {
      const name = `${driver}-${engine}-${workers}`;
      const args = [
        '--driver',
        driver,
        '--workers',
        workers,
        '--cache-dir',
        path.join(directory, `${name}-cache`),
        image,
      ];
      mounted = await SluiceMount.start(args, path.join(directory, name), { env: { SLUICE_ENGINE: engine } });
    });
    afterAll(() => mounted.stop());

    describeConformance(() => mounted.directory, entries, driver === 'libfuse' ? limitsOfLibfuse : { holeUnit });
  });
});
