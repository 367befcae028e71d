import { existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const layout = path.join(process.env.SLUICE_IMAGES ?? path.join(os.homedir(), '.cache/sluice-images'), 'oci');

/**
 * The names of the real images that test/images/build.sh made.
 * @throws Error when there are none
 */
export function builtImages() {
  const file = path.join(layout, 'index.json');
  if (!existsSync(file)) throw new Error(`Cannot read "${file}": build the images first, by test/images/build.sh`);
  return index().map(nameOf).sort();
}

/** As `sluice convert` names it. */
export function builtImage(name) {
  if (!builtImages().includes(name)) throw new Error(`Cannot find "${name}": build it first, by test/images/build.sh`);
  return `oci:${layout}:${name}`;
}

/** The files of an image's layers, lowest first. */
export function builtLayers(name) {
  const manifest = readBlob(index().find((descriptor) => nameOf(descriptor) === name).digest);
  return manifest.layers.map(({ digest }) => blobFile(digest));
}

const nameOf = ({ annotations }) => annotations['org.opencontainers.image.ref.name'];
const index = () => JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')).manifests;
const blobFile = (digest) => path.join(layout, 'blobs', ...digest.split(':'));
const readBlob = (digest) => JSON.parse(readFileSync(blobFile(digest), 'utf8'));
