// Serves a mount whose image is filled when the parent says so: a child process of bench/macro/fill.js.
//
// Messages from the parent are the names of Fill's methods, `start` and `pause`, and `state`, which is answered with the
// mount's state. The first message to the parent says that the mount answers.
import { ChunkCache } from '../../dist/cache/chunk-cache.js';
import { openContent } from '../../dist/mount/image-content.js';
import { MountWorkers } from '../../dist/mount/mount-workers.js';
import { serveImage } from '../../dist/mount/serve-image.js';
import { openSource } from '../../dist/transport/open.js';

const [image, mountPoint, cacheDirectory] = process.argv.slice(2);
const cache = ChunkCache.open(cacheDirectory, { maximumBytes: 2 ** 40, minimumFreeBytes: 0 });
const served = await serveImage({
  open: (onManifest) => openContent({ source: openSource(image, { plainHttp: true }), cache, onManifest }),
  mountPoint,
  files: cache.files,
  server: new MountWorkers(),
  profile: false,
  prefetch: false,
  onFailure: (message) => process.stderr.write(`${message}\n`),
});
process.on('message', (name) => {
  if (name === 'start') served.fill.start({ kind: 'background' });
  if (name === 'pause') served.fill.pause();
  process.send(served.state());
});
process.send(served.state());
await served.ended;
process.exit();
