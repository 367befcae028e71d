import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContainerError } from '../../src/errors.ts';
import { isRoot, resolveUser } from '../../src/runtime/container-user.ts';

const passwd = `root:x:0:0:root:/root:/bin/bash
# a comment
broken:x
app:x:1000:2000::/srv:/bin/sh
2000:x:5:5::/:/bin/sh
huge:x:4294967295:0::/:/bin/sh`;
const group = `root:x:0:
apps:x:2000:
audio:x:29:app,other
video:x:44:app
again:x:44:app
other:x:45:application`;
const database = { passwd, group };

describe('isRoot()', () => {
  it.each(['', 'root', '0', '0:0', 'root:root', 'root:0', ':0', ':'])('is true of "%s"', (text) => {
    expect(isRoot(text)).toBe(true);
  });

  it.each(['1', '00', 'roots', 'root:tty', ':5', '0:0:0'])('is false of "%s"', (text) => {
    expect(isRoot(text)).toBe(false);
  });
});

describe('resolveUser()', () => {
  it.each([
    ['', { uid: 0, gid: 0, additionalGids: [] }],
    ['root', { uid: 0, gid: 0, additionalGids: [] }],
    ['app', { uid: 1000, gid: 2000, additionalGids: [29, 44] }],
    ['1000', { uid: 1000, gid: 2000, additionalGids: [29, 44] }],
    ['app:audio', { uid: 1000, gid: 29, additionalGids: [] }],
    ['app:7', { uid: 1000, gid: 7, additionalGids: [] }],
    ['123', { uid: 123, gid: 0, additionalGids: [] }],
    ['123:456', { uid: 123, gid: 456, additionalGids: [] }],
    [':audio', { uid: 0, gid: 29, additionalGids: [] }],
    // A number is an ID, also where somebody is called like that.
    ['2000', { uid: 2000, gid: 0, additionalGids: [] }],
  ])('knows who "%s" is', (text, user) => {
    expect(resolveUser(text, database)).toEqual(user);
  });

  it.each(['ghost', 'broken', 'huge', 'app:ghost', '99999999999', 'app ', '-1'])('refuses "%s"', (text) => {
    expect(() => resolveUser(text, database)).toThrow(
      expect.objectContaining({ code: 'SLUICE_USER_NOT_FOUND' }) as Error,
    );
  });

  it('works with numbers in an image that has no users', () => {
    expect(resolveUser('7:8', { passwd: '', group: '' })).toEqual({ uid: 7, gid: 8, additionalGids: [] });
  });

  it('gives a user or a ContainerError for any text', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (text, users, groups) => {
        try {
          const { uid, gid } = resolveUser(text, { passwd: users, group: groups });
          expect(Math.min(uid, gid)).toBeGreaterThanOrEqual(0);
        } catch (error) {
          expect(error).toBeInstanceOf(ContainerError);
        }
      }),
    );
  });
});
