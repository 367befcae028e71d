import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { CacheError, errorTable, FormatError, RegistryError, SluiceError } from '../src/errors.ts';

const rows = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| SLUICE_'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, code, errno, exit, retry]) => ({ code, errno, exit: Number(exit), retry }));

describe('errorTable', () => {
  it('is the table of docs/errors.md', () => {
    const names = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
    const expected = Object.entries(errorTable).map(([code, meaning]) => ({
      code,
      errno: names.get(meaning.errno),
      exit: meaning.exit,
      retry: meaning.retryable ? 'yes' : 'no',
    }));
    expect(rows).toEqual(expected);
  });
});

describe('SluiceError', () => {
  it('takes errno, exit status and retry policy from its code', () => {
    const error = new RegistryError('SLUICE_REGISTRY_TIMEOUT', 'Cannot fetch', { facts: { url: 'x' }, cause: 1 });
    expect(error).toBeInstanceOf(SluiceError);
    expect(error).toMatchObject({
      name: 'RegistryError',
      errno: constants.errno.ETIMEDOUT,
      exit: 6,
      retryable: true,
      facts: { url: 'x' },
      cause: 1,
    });
    expect(new FormatError('SLUICE_TAR_INVALID', 'Cannot')).not.toHaveProperty('cause');
    expect(new CacheError('SLUICE_CACHE_FULL', 'Cannot').errno).toBe(constants.errno.ENOSPC);
  });
});
