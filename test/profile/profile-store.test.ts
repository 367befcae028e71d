import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { digestFromBytes, digestHex } from '../../src/oci/digest.ts';
import { mergeProfiles } from '../../src/profile/merge-profiles.ts';
import type { Profile } from '../../src/profile/profile.ts';
import { ProfileStore } from '../../src/profile/profile-store.ts';
import { withTemporaryDirectory } from '../support/temporary.ts';
import { sampleProfile, sampleRoot } from './profiles.ts';

const other: Profile = {
  ...sampleProfile,
  reads: [{ file: 0, page: 9, pages: 1 }],
  files: sampleProfile.files.slice(0, 1),
};

function withStore(use: (store: ProfileStore, folder: string) => Promise<void>): Promise<void> {
  return withTemporaryDirectory((directory) =>
    use(new ProfileStore(directory), path.join(directory, 'profiles', digestHex(sampleRoot))),
  );
}

describe('ProfileStore', () => {
  it('keeps profiles by image and name, for their owner alone', () =>
    withStore(async (store, folder) => {
      expect(await store.load(sampleRoot, 'default')).toBeUndefined();
      expect(await store.list(sampleRoot)).toEqual([]);
      await store.save(sampleProfile);
      await store.save({ ...other, name: 'a.b' });
      expect(await store.load(sampleRoot, 'default')).toEqual(sampleProfile);
      expect(await store.list(sampleRoot)).toEqual(['a.b', 'default']);
      expect(await store.list(digestFromBytes(Buffer.alloc(32)))).toEqual([]);
      expect((await stat(folder)).mode & 0o777).toBe(0o700);
      expect((await stat(path.join(folder, 'default.json'))).mode & 0o777).toBe(0o600);
      expect(await readdir(folder)).toEqual(['a.b.json', 'default.json']);
    }));

  it('merges what is saved again, unless it is told to replace', () =>
    withStore(async (store) => {
      await store.save(sampleProfile);
      const merged = await store.save(other);
      expect(merged).toEqual(mergeProfiles(sampleProfile, other));
      expect(await store.load(sampleRoot, 'default')).toEqual(merged);
      expect(await store.save(other, 'replace')).toEqual(other);
      expect(await store.load(sampleRoot, 'default')).toEqual(other);
    }));

  it('removes', () =>
    withStore(async (store) => {
      await store.save(sampleProfile);
      expect(await store.remove(sampleRoot, 'default')).toBe(true);
      expect(await store.remove(sampleRoot, 'default')).toBe(false);
      expect(await store.list(sampleRoot)).toEqual([]);
    }));

  it('says that a profile is damaged, and replaces it by the next', () =>
    withStore(async (store, folder) => {
      await store.save(sampleProfile);
      await writeFile(path.join(folder, 'default.json'), '{');
      await expect(store.load(sampleRoot, 'default')).rejects.toMatchObject({ code: 'SLUICE_PROFILE_INVALID' });
      expect(await store.save(other)).toEqual(other);
    }));

  it.each(['', '.', '..', '../x', 'a/b', 'A', 'x'.repeat(65)])('refuses the name "%s"', (name) =>
    withStore(async (store) => {
      await expect(store.load(sampleRoot, name)).rejects.toMatchObject({ code: 'SLUICE_OPTION_INVALID' });
      await expect(store.save({ ...sampleProfile, name })).rejects.toMatchObject({ code: 'SLUICE_OPTION_INVALID' });
    }),
  );
});
