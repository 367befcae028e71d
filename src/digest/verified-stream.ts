import { IntegrityError } from '../errors.ts';
import { createHasher } from './hash.ts';

/** What a stream was promised to be; a descriptor fits. */
interface Expected {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  /** Bytes. */
  readonly size: number;
}

/**
 * Passes bytes through and verifies size and digest on the way. The bytes go out before the verdict, which is the end
 * of the stream: whoever consumes them must undo all when the end is an error.
 *
 * @param chunks - closed when the consumer stops early
 * @param what - of what these are the bytes, for the message: `bootstrap layer`
 * @throws {IntegrityError} SLUICE_SIZE_MISMATCH as soon as there are too many bytes, or at an end that comes too early;
 * SLUICE_DIGEST_MISMATCH at the end
 */
export async function* verifyStream(
  chunks: AsyncIterable<Uint8Array>,
  expected: Expected,
  what: string,
): AsyncGenerator<Uint8Array> {
  const hasher = createHasher('sha256');
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > expected.size) throw sizeMismatch(what, expected, size);
    hasher.update(chunk);
    yield chunk;
  }
  if (size < expected.size) throw sizeMismatch(what, expected, size);
  const actual = `sha256:${Buffer.from(hasher.digest()).toString('hex')}`;
  if (actual !== expected.digest) {
    throw new IntegrityError(
      'SLUICE_DIGEST_MISMATCH',
      `Cannot read ${what}: digest is "${actual}", not "${expected.digest}"`,
      { facts: { expected: expected.digest, actual } },
    );
  }
}

function sizeMismatch(what: string, expected: Expected, size: number): IntegrityError {
  return new IntegrityError(
    'SLUICE_SIZE_MISMATCH',
    `Cannot read ${what}: it should have ${expected.size} bytes and has ${size > expected.size ? 'more' : size}`,
    { facts: { digest: expected.digest, expected: expected.size, actual: size } },
  );
}
