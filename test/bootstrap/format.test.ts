import { describe, expect, it } from 'vitest';
import { DEVICE_RECORD_SIZE, deviceFields, footerFields } from '../../src/bootstrap/format.ts';
import { offsetsOf, offsetTable } from '../support/offset-table.ts';

describe('docs/format.md', () => {
  it('has the footer of format.ts', () => {
    expect(offsetsOf(offsetTable('Footer'))).toEqual(footerFields);
  });

  it('has the device records of format.ts', () => {
    const rows = offsetTable('Device records');
    expect(offsetsOf(rows)).toEqual(deviceFields);
    expect(rows.reduce((sum, { size }) => sum + size, 0)).toBe(DEVICE_RECORD_SIZE);
  });
});
