import { describe, expect, it } from 'vitest';
import { describeBytes } from '../../src/oci/canonical-json.ts';
import type { BlobSource } from '../../src/oci/image.ts';
import { readDocument } from '../../src/oci/read-document.ts';
import { streamOf } from '../support/image.ts';

const bytes = Buffer.from('{"architecture":"amd64"}');
const descriptor = describeBytes('application/json', bytes);
const source: BlobSource = { readBlob: () => streamOf(bytes, 5) };
const unreachable: BlobSource = {
  readBlob: () => {
    throw new Error('nobody should ask');
  },
};

describe('readDocument()', () => {
  it('reads a blob, or what the descriptor embeds without asking for the blob', async () => {
    expect(await readDocument(source, descriptor)).toEqual(bytes);
    expect(await readDocument(unreachable, { ...descriptor, data: bytes.toString('base64') })).toEqual(bytes);
  });

  it.each([
    ['has another digest', Buffer.from('{"architecture":"arm64"}'), 'SLUICE_DIGEST_MISMATCH'],
    ['is too long', Buffer.concat([bytes, Buffer.from(' ')]), 'SLUICE_SIZE_MISMATCH'],
    ['is too short', bytes.subarray(1), 'SLUICE_SIZE_MISMATCH'],
    ['is empty', Buffer.alloc(0), 'SLUICE_SIZE_MISMATCH'],
  ])('refuses what %s, also when it is embedded', async (_, bad, code) => {
    const embedded = { ...descriptor, data: bad.toString('base64') };
    await expect(readDocument(unreachable, embedded)).rejects.toMatchObject({ code });
    await expect(readDocument({ readBlob: () => streamOf(bad) }, descriptor)).rejects.toMatchObject({ code });
  });

  it('refuses embedded content that is no base64', async () => {
    const embedded = { ...descriptor, data: '?'.repeat(40) };
    await expect(readDocument(unreachable, embedded)).rejects.toMatchObject({ code: 'SLUICE_SIZE_MISMATCH' });
  });

  it('refuses a document without end', async () => {
    const long = { ...descriptor, size: 2 ** 30 };
    await expect(readDocument(unreachable, long)).rejects.toMatchObject({ code: 'SLUICE_MANIFEST_INVALID' });
  });
});
