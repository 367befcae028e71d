import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContainerFolder } from '../../src/runtime/container-folder.ts';
import { run } from '../support/process.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { isRoot } from '../support/tools.ts';

describe('ContainerFolder', () => {
  it('belongs to the process that made it, and to no other that ever has its number', () =>
    withTemporaryDirectory((parent) => {
      const folder = new ContainerFolder(parent, 'one');
      folder.create();
      expect(folder.isOwned()).toBe(true);
      writeFileSync(folder.at('owner'), `${process.pid} 1`);
      expect(folder.isOwned()).toBe(false);
      writeFileSync(folder.at('owner'), '');
      expect(folder.isOwned()).toBeUndefined();
    }));

  it('is made once', () =>
    withTemporaryDirectory((parent) => {
      new ContainerFolder(parent, 'one').create();
      expect(() => new ContainerFolder(parent, 'one').create()).toThrow(
        expect.objectContaining({ code: 'SLUICE_CONTAINER_EXISTS' }) as Error,
      );
    }));

  it.skipIf(!isRoot())('stays while something is mounted in it', () =>
    withTemporaryDirectory(async (parent) => {
      const folder = new ContainerFolder(parent, 'one');
      folder.create();
      await run('mount', ['-t', 'tmpfs', 'tmpfs', folder.at('rootfs')]);
      writeFileSync(path.join(folder.at('rootfs'), 'precious'), '');
      expect(await folder.remove()).toBe(false);
      expect(existsSync(path.join(folder.at('rootfs'), 'precious'))).toBe(true);
      await run('umount', [folder.at('rootfs')]);
      expect(await folder.remove()).toBe(true);
      expect(existsSync(folder.path)).toBe(false);
    }),
  );
});
