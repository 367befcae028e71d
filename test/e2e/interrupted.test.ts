import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { realImages } from '../support/images.ts';
import { eventually } from '../support/process.ts';
import { convert, Sluice } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { convertedImage, layoutManifest, slow } from './converted.ts';

const images = realImages();

/** Blobs of the layers a conversion has finished. */
async function finishedBlobs(cache: string): Promise<string[]> {
  const names = await readdir(path.join(cache, 'convert'), { recursive: true });
  const records = names.filter((name) => path.basename(name) === 'record.json');
  const texts = await Promise.all(records.map((name) => readFile(path.join(cache, 'convert', name), 'utf8')));
  return texts.map((text) => (JSON.parse(text) as { blob: string }).blob);
}

describe.skipIf(images === undefined)('sluice convert of the node image', slow, () => {
  it.each([
    ['SIGINT', 130],
    ['SIGKILL', -1],
  ] as const)('interrupted by %s, goes on where it stopped', async (signal, status) => {
    const whole = await convertedImage(images?.layout ?? '', 'node');
    await withTemporaryDirectory(async (directory) => {
      const [cache, layout] = [path.join(directory, 'cache'), path.join(directory, 'layout')];
      const args = ['--cache-dir', cache, `oci:${images?.layout}:node`, `oci:${layout}:node`];
      const started = new Sluice(['convert', ...args]);
      await eventually('a layer to be finished', async () =>
        (await finishedBlobs(cache)).length > 0 ? true : undefined,
      );
      started.process.kill(signal);
      expect((await started.ended).status).toBe(status);
      await expect(layoutManifest(layout, 'node')).rejects.toThrow();

      const finished = await finishedBlobs(cache);
      const again = await convert(args);
      const reused = again.layers.filter(({ from }) => from === 'machine').map(({ blob }) => blob);
      expect(reused.sort()).toEqual(finished.sort());
      expect(again.layers.map(({ blob }) => blob)).toEqual(whole.summary.layers.map(({ blob }) => blob));
      expect(again.manifest).toBe(whole.summary.manifest);
    });
  });
});
