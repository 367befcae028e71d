import { describe, expect, it } from 'vitest';
import { findMount, parseMountInfo } from '../../src/fuse/mount-info.ts';

const table = String.raw`22 28 0:21 / /sys rw,relatime shared:7 - sysfs sysfs rw
36 28 0:57 / /mnt/a\040b\134c ro,relatime shared:1 master:2 - fuse.sluice docker.io/x\040y,z ro,user_id=0
37 36 0:58 / /mnt/a\040b\134c ro,relatime - fuse.sluice second ro
`;

describe('parseMountInfo()', () => {
  it('takes the topmost mount of a path, and reads escapes and any number of optional fields', () => {
    const lower = table.split('\n').slice(0, 2).join('\n');
    const expected = { device: '0:57', type: 'fuse.sluice', source: 'docker.io/x y,z' };
    expect(parseMountInfo(lower, '/mnt/a b\\c')).toEqual(expected);
    expect(parseMountInfo(table, '/mnt/a b\\c')).toMatchObject({ device: '0:58', source: 'second' });
    expect(parseMountInfo(table, '/sys')?.type).toBe('sysfs');
  });

  it('finds nothing where nothing is mounted', () => {
    expect(parseMountInfo(table, '/mnt')).toBeUndefined();
    expect(parseMountInfo(table, '')).toBeUndefined();
    expect(findMount('/proc')?.type).toBe('proc');
  });
});
