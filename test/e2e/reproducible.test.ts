import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConvertSummary } from '../../src/convert/summary.ts';
import { DockerRegistry } from '../support/docker-registry.ts';
import { realImages } from '../support/images.ts';
import { run } from '../support/process.ts';
import { convert } from '../support/sluice.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';
import { has, otherNode } from '../support/tools.ts';
import { type ConvertedImage, convertedImage, slow } from './converted.ts';

const images = realImages();
const tag = 'nginx';
const other = otherNode();

/** The Node of the machine, even where the tests run on the newer one (`npx vitest`). */
function floorNode(): string {
  const folders = (process.env.PATH ?? '').split(':').filter((folder) => !folder.includes('node_modules'));
  return execFileSync('sh', ['-c', 'command -v node'], { env: { PATH: folders.join(':') } })
    .toString()
    .trim();
}

/** What may not depend on where, how often and by what an image is converted. */
function outcome({ layers, root, chunks, targetSize }: ConvertSummary): unknown {
  return { blobs: layers.map(({ blob }) => blob), root, chunks, targetSize };
}

describe.skipIf(images === undefined || !has('skopeo', 'docker-registry'))('nginx, converted again', slow, () => {
  let first: ConvertedImage;
  let registry: DockerRegistry;
  let directory: string;
  let sources: Record<string, string>;

  beforeAll(async () => {
    directory = makeTemporaryDirectory();
    registry = await DockerRegistry.start();
    sources = {
      layout: `oci:${images?.layout}:${tag}`,
      registry: `docker://${registry.host}/${tag}:1`,
      'oci-archive': `oci-archive:${directory}/oci.tar`,
      'docker-archive': `docker-archive:${directory}/docker.tar`,
    };
    for (const name of ['registry', 'oci-archive', 'docker-archive']) {
      const copy = ['--insecure-policy', 'copy', '-q', '--dest-tls-verify=false'];
      await run('skopeo', [...copy, sources.layout ?? '', sources[name] ?? '']);
    }
    first = await convertedImage(images?.layout ?? '', tag);
  });

  afterAll(async () => {
    await registry?.close();
    await removeTemporaryDirectory(directory);
  });

  it.skipIf(other === undefined)('is tried on two versions of Node', () => {
    const versions = [floorNode(), other ?? ''].map((node) => execFileSync(node, ['--version']).toString());
    expect(new Set(versions).size).toBe(2);
  });

  it.each([
    ['layout', '1', floorNode(), true],
    ['registry', '4', other, true],
    ['oci-archive', '4', floorNode(), true],
    ['docker-archive', '1', other, false],
  ])('from the %s with %s workers, by %s, is the same', async (source, workers, node, sameManifest) => {
    const fresh = path.join(directory, source);
    const args = ['--workers', workers, '--cache-dir', `${fresh}-cache`, sources[source] ?? '', `oci:${fresh}:${tag}`];
    const again = await convert(args, { node: node ?? process.execPath });
    expect(again.layers.map(({ from }) => from)).toEqual(['converted', 'converted', 'converted']);
    expect(outcome(again)).toEqual(outcome(first.summary));
    expect(again.manifest === first.summary.manifest).toBe(sameManifest);
  });
});
