import { expect, it } from 'vitest';
import { HOT_HEADER_SIZE, hotHeader } from '../../src/hot/format.ts';
import { offsetsOf, offsetTable } from '../support/offset-table.ts';

it('docs/format.md has the hot index of format.ts', () => {
  const rows = offsetTable('Hot index');
  expect(offsetsOf(rows)).toEqual(hotHeader);
  expect(rows.reduce((sum, { size }) => sum + size, 0)).toBe(HOT_HEADER_SIZE);
});
