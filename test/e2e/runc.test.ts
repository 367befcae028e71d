import { describe, expect, it } from 'vitest';
import { realImages } from '../support/images.ts';
import { Container, runContainer } from '../support/runc.ts';
import { freePort, httpGet, redisPing } from '../support/services.ts';
import { withMount } from '../support/sluice.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { has, isRoot } from '../support/tools.ts';
import { type ConvertedImage, convertedImage, slow } from './converted.ts';

const images = realImages();

/** Mounts an image with nothing in the cache. */
async function withColdMount(
  tag: string,
  use: (mounted: string, command: ConvertedImage['config']['config']) => Promise<void>,
): Promise<void> {
  const image = await convertedImage(images?.layout ?? '', tag);
  await withTemporaryDirectory((cache) =>
    withMount(['--cache-dir', cache, image.reference], (mounted) => use(mounted, image.config.config)),
  );
}

describe.skipIf(images === undefined || !isRoot() || !has('runc'))('runc on an overlay over a cold mount', slow, () => {
  it.each(['python', 'node'])('runs %s to its end', (tag) =>
    withColdMount(tag, async (mounted, command) => {
      expect(await runContainer(mounted, command)).toEqual({ status: 0, output: `hello from ${tag}\n` });
    }),
  );

  it('runs nginx, which answers, also after its configuration was changed', () =>
    withColdMount('nginx', async (mounted, command) => {
      const port = await freePort();
      const change = `sed -i 's/listen 18080/listen ${port}/' /etc/nginx/sites-available/default`;
      const args = ['/bin/sh', '-c', `${change} && exec "$@"`, 'sh', ...(command.Cmd ?? [])];
      const container = await Container.start(mounted, command, { args, network: 'host' });
      try {
        await container.ready(() => httpGet(port));
        expect(await httpGet(port)).toBe('hello-nginx\n');
      } finally {
        await container.stop();
      }
    }));

  it('runs redis, which answers', () =>
    withColdMount('redis', async (mounted, command) => {
      const port = await freePort();
      const args = (command.Cmd ?? []).map((word) => (word === '16379' ? String(port) : word));
      const container = await Container.start(mounted, command, { args, network: 'host' });
      try {
        await container.ready(() => redisPing(port));
        expect(await redisPing(port)).toBe('+PONG\r\n');
      } finally {
        await container.stop();
      }
    }));
});
