import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { finished } from 'node:stream/promises';

/**
 * Makes an OCI layout of one image, of one uncompressed layer.
 *
 * @param folder - does not exist yet
 * @param writeTar - called with a writable stream, which it does not end
 * @returns the image's name for `sluice convert`
 */
export async function writeLayout(folder, writeTar) {
  const blobs = path.join(folder, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const file = path.join(blobs, 'layer');
  const stream = createWriteStream(file);
  await writeTar(stream);
  stream.end();
  await finished(stream);
  const layer = await describe(file, 'application/vnd.oci.image.layer.v1.tar');
  renameSync(file, path.join(blobs, layer.digest.slice('sha256:'.length)));

  const config = writeJson(blobs, 'application/vnd.oci.image.config.v1+json', {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = writeJson(blobs, mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  const annotations = { 'org.opencontainers.image.ref.name': 'image' };
  writeFileSync(path.join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    path.join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  return `oci:${folder}:image`;
}

/** The layout of one directory, by GNU tar. */
export function layoutOfTree(tree, folder) {
  return writeLayout(folder, async (stream) => {
    if (stream.pending) await new Promise((resolve) => stream.once('open', resolve));
    const args = ['--sort=name', '--mtime=@1700000000', '-C', tree, '-cf', '-', '.'];
    execFileSync('tar', args, { stdio: ['ignore', stream.fd, 'inherit'] });
  });
}

async function describe(file, mediaType) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) {
    hash.update(part);
    size += part.length;
  }
  return { mediaType, digest: `sha256:${hash.digest('hex')}`, size };
}

function writeJson(blobs, mediaType, value) {
  const bytes = Buffer.from(JSON.stringify(value));
  const hex = createHash('sha256').update(bytes).digest('hex');
  writeFileSync(path.join(blobs, hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}
