import { describe, expect, it } from 'vitest';
import { CredentialSource } from '../../src/registry/credential-source.ts';
import type { Credentials } from '../../src/registry/credentials.ts';
import { Secrets } from '../../src/registry/secrets.ts';

const account = (password: string): Credentials => ({ kind: 'password', username: 'u', password });

/** A look-up that answers what is set, and a clock that stands still. */
function setUp(answer: Credentials | undefined) {
  const state = { answer, error: undefined as Error | undefined, asked: 0, now: 1000 };
  const find = async () => {
    state.asked++;
    if (state.error) throw state.error;
    return state.answer && { ...state.answer };
  };
  return { state, source: new CredentialSource(find, new Secrets(), () => state.now) };
}

describe('CredentialSource', () => {
  it('looks up once, however many ask', async () => {
    const { state, source } = setUp(account('one'));
    const all = await Promise.all([source.get(), source.get(), source.get()]);
    expect(new Set(all).size).toBe(1);
    expect(state.asked).toBe(1);
    expect(source.obtainedAt).toBeGreaterThan(0);
  });

  it('looks again, once for all who were refused, and says whether there is anything new', async () => {
    const { state, source } = setUp(account('one'));
    const refused = await source.get();
    state.answer = account('two');
    state.now++;
    expect(await Promise.all([1, 2, 3].map(() => source.renew(refused, state.now)))).toEqual([true, true, true]);
    expect(await source.renew(refused, state.now)).toBe(true);
    expect(state.asked).toBe(2);
    expect(await source.get()).toMatchObject({ password: 'two' });
  });

  it('does not look again sooner than after two seconds, but then', async () => {
    const { state, source } = setUp(account('one'));
    const refused = await source.get();
    state.now += 1;
    for (const wait of [0, 1, 1998]) {
      state.now += wait;
      expect(await source.renew(refused, state.now)).toBe(false);
    }
    expect(state.asked).toBe(2);
    state.now += 1;
    state.answer = account('two');
    expect(await source.renew(refused, state.now)).toBe(true);
    expect(state.asked).toBe(3);
  });

  it('does not look again for what was looked up within the same request', async () => {
    const { state, source } = setUp(undefined);
    const since = state.now;
    expect(await source.renew(await source.get(), since)).toBe(false);
    expect(state.asked).toBe(1);
    state.now += 1;
    state.answer = account('login');
    expect(await source.renew(undefined, state.now)).toBe(true);
  });

  it('forgets a look-up that failed', async () => {
    const { state, source } = setUp(account('one'));
    state.error = new Error('locked');
    await expect(source.get()).rejects.toThrow('locked');
    await expect(source.get()).rejects.toThrow('locked');
    expect(state.asked).toBe(1);
    state.error = undefined;
    state.now += 2000;
    expect(await source.get()).toMatchObject({ password: 'one' });
  });
});
