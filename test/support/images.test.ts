import { rmSync } from 'node:fs';
import { get } from 'node:http';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ByteString } from '../../src/byte-string.ts';
import { realImages } from './images.ts';
import { run } from './process.ts';
import { differenceFromContainerd, unpackReference, unpackWithTar } from './reference.ts';
import { Container, runContainer } from './runc.ts';
import { withTemporaryDirectory } from './temporary.ts';
import { has, isRoot } from './tools.ts';
import { summarise } from './tree-summary.ts';

const images = realImages();
const layout = images?.layout ?? '';
const canUnpack = images !== undefined && isRoot() && has('containerd', 'ctr', 'skopeo', 'getfattr');

describe.skipIf(!canUnpack)('unpackReference()', () => {
  it('unpacks what the image holds, once', async () => {
    const tree = await unpackReference(layout, 'upgrade');
    const summary = await summarise(tree);
    const at = (name: string) => summary.get(name as ByteString);
    expect(at('opt/opq/new')).toMatchObject({ kind: 'f', size: '4' });
    expect(at('opt/opq/a')).toBeUndefined();
    expect(at('usr/bin/ping')?.xattrs).toMatch(/^security\.capability=/);
    expect(await unpackReference(layout, 'upgrade')).toBe(tree);
  });

  it('leaves a tree that a changed copy differs from', async () => {
    const tree = await unpackReference(layout, 'upgrade');
    await withTemporaryDirectory(async (directory) => {
      const copy = path.join(directory, 'opt');
      await run('cp', ['-a', path.join(tree, 'opt'), copy]);
      expect(await differenceFromContainerd(path.join(tree, 'opt'), copy, { content: true })).toEqual([]);
      rmSync(path.join(copy, 'opq/new'));
      expect(await differenceFromContainerd(path.join(tree, 'opt'), copy)).toContain('opq/new: missing');
    });
  });
});

describe.skipIf(images === undefined || !isRoot() || !has('tar', 'getfattr'))('unpackWithTar()', () => {
  it('unpacks sparse files of every dialect alike, and links across layers', async () => {
    const summary = await summarise(await unpackWithTar(layout, 'odd'));
    const at = (name: string) => summary.get(name as ByteString);
    for (const dialect of ['gnu', 'pax00', 'pax01', 'pax10']) {
      expect(at(`${dialect}/above4g`), dialect).toMatchObject({ kind: 'f', size: `${5 * 2 ** 30 + 12345}` });
      expect(at(`${dialect}/onlyhole`), dialect).toMatchObject({ size: `${3 << 20}` });
    }
    expect(at('hard_across')?.links).toBe('nlink 3, found 3 hard_across');
  });
});

describe.skipIf(!canUnpack || !has('runc'))('Container', () => {
  let python = '';
  beforeAll(async () => {
    python = await unpackReference(layout, 'python');
  });

  it('runs the command of an image to its end', async () => {
    const command = { Cmd: ['/usr/bin/python3', '/app/app.py'], Env: ['PATH=/usr/bin:/bin'] };
    expect(await runContainer(python, command)).toEqual({ status: 0, output: 'hello from python\n' });
  });

  it('says how a failing command failed', async () => {
    const args = ['/bin/sh', '-c', 'echo out; echo err >&2; exit 7'];
    const { status, output } = await runContainer(python, {}, { args });
    expect(status).toBe(7);
    expect(output).toContain('out\n');
    expect(output).toContain('err\n');
  });

  it('waits until a server answers, and stops it', async () => {
    const args = ['/usr/bin/python3', '-u', '-m', 'http.server', '--bind', '127.0.0.1', '18099'];
    const container = await Container.start(python, { Env: ['PATH=/usr/bin:/bin'] }, { args, network: 'host' });
    const answers = (): Promise<unknown> =>
      new Promise((resolve, reject) => get('http://127.0.0.1:18099/', resolve).on('error', reject));
    try {
      await container.ready(answers);
      await container.ready(/GET \/ HTTP/);
    } finally {
      await container.stop();
    }
    await expect(answers()).rejects.toThrow('ECONNREFUSED');
  });

  it('reports a container that ends before it is ready', async () => {
    const container = await Container.start(python, {}, { args: ['/bin/sh', '-c', 'echo no luck'] });
    await expect(container.ready(/never/)).rejects.toThrow(/no luck/);
    await container.stop();
  });
});
