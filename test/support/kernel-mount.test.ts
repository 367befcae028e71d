import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { withKernelMount } from './kernel-mount.ts';
import { mounts } from './mounts.ts';
import { withTemporaryDirectory } from './temporary.ts';
import { has, isRoot } from './tools.ts';

describe.skipIf(!isRoot() || !has('mkfs.erofs'))('withKernelMount()', () => {
  const withImage = (use: (image: string) => Promise<void>): Promise<void> =>
    withTemporaryDirectory((directory) => {
      const [tree, image] = [path.join(directory, 'tree'), path.join(directory, 'image')];
      mkdirSync(tree);
      writeFileSync(path.join(tree, 'file'), 'content');
      execFileSync('mkfs.erofs', [image, tree], { stdio: 'ignore' });
      return use(image);
    });

  it('mounts an image for as long as it is used', () =>
    withImage(async (image) => {
      let target = '';
      await withKernelMount(image, [], (directory) => {
        target = directory;
        expect(readdirSync(directory)).toEqual(['file']);
        expect(readFileSync(path.join(directory, 'file'), 'utf8')).toBe('content');
        expect(mounts().find((mount) => mount.target === directory)?.type).toBe('erofs');
      });
      expect(mounts().filter((mount) => mount.target === target)).toEqual([]);
    }));

  it('unmounts when its user fails', () =>
    withImage(async (image) => {
      let target = '';
      const failing = withKernelMount(image, [], (directory) => {
        target = directory;
        throw new Error('on purpose');
      });
      await expect(failing).rejects.toThrow('on purpose');
      expect(mounts().filter((mount) => mount.target === target)).toEqual([]);
    }));
});
