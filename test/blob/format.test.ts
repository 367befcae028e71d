import { describe, expect, it } from 'vitest';
import { columnNames, entryKinds } from '../../src/blob/entry-format.ts';
import { BLOB_TRAILER_SIZE, blobTrailer } from '../../src/blob/format.ts';
import { offsetsOf, offsetTable, tableColumn } from '../support/offset-table.ts';

describe('docs/format.md', () => {
  it('has the blob trailer of format.ts', () => {
    const rows = offsetTable('Blob trailer');
    const last = rows.at(-1);
    expect(offsetsOf(rows)).toEqual(blobTrailer);
    expect((last?.offset ?? 0) + (last?.size ?? 0)).toBe(BLOB_TRAILER_SIZE);
  });

  it('has the columns and kinds of entry-format.ts', () => {
    expect(tableColumn('Entries')).toEqual(columnNames);
    expect(tableColumn('Entry flags').slice(0, entryKinds.length)).toEqual(entryKinds);
  });
});
