// Is a converted image smaller than its source, blobs and bootstrap together?
//
// Converts every image of test/images/build.sh.
//
// npm run build && node bench/macro/sizes.js [IMAGE…]
import path from 'node:path';
import { builtImage, builtImages } from '../support/built-images.js';
import { publish } from '../support/result.js';
import { convert } from '../support/sluice.js';
import { inWorkspace } from '../support/workspace.js';

const images = process.argv.length > 2 ? process.argv.slice(2) : builtImages();

await inWorkspace((directory) => {
  const samples = images.map((image) => {
    const at = (name) => path.join(directory, `${image}-${name}`);
    return { image, ...convert(builtImage(image), `oci:${at('converted')}:image`, at('cache')) };
  });
  publish({
    benchmark: 'sizes',
    parameters: { images },
    rows: samples.map(({ image, sourceSize, targetSize }) => ({
      what: `blobs and bootstrap of the ${image} image`,
      value: targetSize / 1e6,
      unit: 'MB',
      reach: { atMost: sourceSize / 1e6 },
      against: [{ name: 'source layers', value: sourceSize / 1e6 }],
    })),
    samples,
  });
});
