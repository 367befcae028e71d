import { describe, expect, it } from 'vitest';
import { hash } from '../../src/digest/hash.ts';
import { verifyStream } from '../../src/digest/verified-stream.ts';
import { IntegrityError } from '../../src/errors.ts';

const bytes = Buffer.from('the bytes that were promised');
const digest = `sha256:${Buffer.from(hash('sha256', bytes)).toString('hex')}`;
const expected = { digest, size: bytes.length };

async function* inPieces(of: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < of.length; i += length) yield of.subarray(i, i + length);
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

describe('verifyStream()', () => {
  it.each([1, 5, 28, 100])('passes the promised bytes through, %i at a time', async (length) => {
    expect(await collect(verifyStream(inPieces(bytes, length), expected, 'blob'))).toEqual(bytes);
  });

  it('passes an empty stream', async () => {
    const empty = `sha256:${Buffer.from(hash('sha256', new Uint8Array(0))).toString('hex')}`;
    expect(
      await collect(verifyStream(inPieces(new Uint8Array(0), 1), { digest: empty, size: 0 }, 'blob')),
    ).toHaveLength(0);
  });

  it('refuses one changed byte at the end', async () => {
    const changed = Buffer.from(bytes);
    changed[3]! ^= 1;
    const error = await collect(verifyStream(inPieces(changed, 5), expected, 'layer 2')).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(IntegrityError);
    expect(error).toMatchObject({ code: 'SLUICE_DIGEST_MISMATCH', facts: { expected: digest } });
    expect((error as Error).message).toMatch(/^Cannot read layer 2: digest is "sha256:/);
  });

  it('refuses a stream that ends early', async () => {
    await expect(collect(verifyStream(inPieces(bytes.subarray(1), 5), expected, 'blob'))).rejects.toMatchObject({
      code: 'SLUICE_SIZE_MISMATCH',
      message: 'Cannot read blob: it should have 28 bytes and has 27',
      facts: { digest, expected: 28, actual: 27 },
    });
  });

  it('stops a stream without end at the first byte too many, and closes it', async () => {
    let given = 0;
    let closed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          given += 10;
          yield bytes.subarray(0, 10);
        }
      } finally {
        closed = true;
      }
    }
    await expect(collect(verifyStream(endless(), expected, 'blob'))).rejects.toMatchObject({
      code: 'SLUICE_SIZE_MISMATCH',
      message: 'Cannot read blob: it should have 28 bytes and has more',
    });
    expect(given).toBe(30);
    expect(closed).toBe(true);
  });
});
