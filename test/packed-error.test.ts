import { describe, expect, it } from 'vitest';
import { errorTable, IntegrityError, RegistryError, SluiceError } from '../src/errors.ts';
import { packError, reviveError } from '../src/packed-error.ts';

const inner = new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot wait', { facts: { status: 504, at: 2n ** 60n } });
const outer = new IntegrityError('SLUICE_CHUNK_DIGEST_MISMATCH', 'Cannot use chunk 3', {
  facts: { chunk: 3, blob: 'sha256:…', cause: undefined },
  cause: inner,
});

describe('reviveError(packError())', () => {
  it('keeps class, code, message, facts and causes across structured clone', () => {
    const revived = reviveError(structuredClone(packError(outer)));
    expect(revived).toBeInstanceOf(IntegrityError);
    expect(revived).toMatchObject({
      name: 'IntegrityError',
      code: outer.code,
      message: outer.message,
      facts: outer.facts,
    });
    expect(revived.cause).toBeInstanceOf(RegistryError);
    expect(revived.cause).toMatchObject({ code: inner.code, facts: inner.facts, retryable: true });
    expect((revived as SluiceError).errno).toBe(errorTable[outer.code].errno);
  });

  it('keeps the message of any other error', () => {
    const revived = reviveError(packError(new TypeError('not ours', { cause: inner })));
    expect(revived).not.toBeInstanceOf(SluiceError);
    expect(revived.message).toBe('not ours');
    expect(revived.cause).toMatchObject({ code: inner.code });
    expect(reviveError(packError('only text')).message).toBe('only text');
  });

  it('ends with causes that lead in a circle', () => {
    const error: Error & { cause?: unknown } = new Error('round');
    error.cause = error;
    let depth = 0;
    for (let at: unknown = reviveError(packError(error)); at instanceof Error; at = at.cause) depth++;
    expect(depth).toBeLessThan(20);
  });
});
