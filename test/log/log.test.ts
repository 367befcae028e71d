import { describe, expect, it } from 'vitest';
import { IntegrityError, RegistryError } from '../../src/errors.ts';
import type { LogFormat } from '../../src/log/format.ts';
import type { LogLevel } from '../../src/log/levels.ts';
import { Log } from '../../src/log/log.ts';
import { MemorySink } from './memory-sink.ts';

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function logged(format: LogFormat, write: (log: Log) => void, level: LogLevel = 'debug'): string[] {
  const sink = new MemorySink();
  write(new Log({ sink, format, level }));
  return sink.lines;
}

/** The line without its time. */
function textOf(facts: Readonly<Record<string, unknown>>): string | undefined {
  const [line] = logged('text', (log) => log.warn('a:b', facts));
  return line?.replace(/^\S+ /, '').trimEnd();
}

function jsonOf(facts: Readonly<Record<string, unknown>>) {
  const [line] = logged('json', (log) => log.warn('a:b', facts));
  return JSON.parse(line ?? '');
}

const cause = new Error('connect ECONNREFUSED 127.0.0.1:5000');
const unreachable = new RegistryError(
  'SLUICE_REGISTRY_UNREACHABLE',
  `Cannot reach "http://127.0.0.1:5000/v2/": ${cause.message}`,
  { facts: { url: 'http://127.0.0.1:5000/v2/', retryAfterMs: undefined, offset: 5n }, cause },
);
const failed = new IntegrityError('SLUICE_CHUNK_DIGEST_MISMATCH', 'Cannot read chunk 7', { cause: unreachable });

describe('Log', () => {
  it.each<[LogLevel, readonly string[]]>([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
  ])('writes at level %s what is at least as severe', (level, events) => {
    const write = (log: Log): void => {
      log.debug('debug');
      log.info('info');
      log.warn('warn');
      log.error('error');
    };
    const lines = logged('json', write, level).map((line) => JSON.parse(line));
    expect(lines.map(({ event }) => event)).toEqual(events);
    expect(lines.map((line) => line.level)).toEqual(events);
    expect(lines[0].time).toMatch(time);
  });

  it('writes facts as key=value, quoted where they need it', () => {
    expect(
      textOf({ n: 1, big: 2n, yes: true, no: undefined, none: null, path: '/mnt/a-b', words: 'a b', empty: '' }),
    ).toBe('warn a:b n=1 big=2 yes=true none=null path=/mnt/a-b words="a b" empty=""');
    expect(textOf({ ms: 24.394659000000047, quote: 'a"b', equals: 'a=b', nan: Number.NaN, list: [1, 'x'] })).toBe(
      'warn a:b ms=24.395 quote="a\\"b" equals="a=b" nan=NaN list="[1,\\"x\\"]"',
    );
  });

  it('writes an error of ours with its code and what it was caused by, nothing twice', () => {
    expect(textOf({ error: failed })).toBe(
      'warn a:b error="Cannot read chunk 7: Cannot reach \\"http://127.0.0.1:5000/v2/\\": connect ECONNREFUSED 127.0.0.1:5000 (SLUICE_CHUNK_DIGEST_MISMATCH)"',
    );
    expect(jsonOf({ error: unreachable }).facts.error).toEqual({
      code: 'SLUICE_REGISTRY_UNREACHABLE',
      message: 'Cannot reach "http://127.0.0.1:5000/v2/": connect ECONNREFUSED 127.0.0.1:5000',
      facts: { url: 'http://127.0.0.1:5000/v2/', offset: 5 },
      causes: [],
    });
    expect(jsonOf({ error: failed }).facts.error.causes).toEqual([unreachable.message]);
  });

  it('writes any other error with its class, and where a bug is', () => {
    expect(jsonOf({ error: cause }).facts.error).toMatchObject({ message: `Error: ${cause.message}`, causes: [] });
    const [line] = logged('text', (log) => log.error('a', { error: new RangeError('x is 5') }));
    expect(line).toMatch(/RangeError: x is 5\\n {4}at .*log\.test\.ts/);
  });

  it('makes one line of anything, and nothing in it moves a cursor', () => {
    const hostile = 'a\nb\r\u001b[2Jc\u009bd\u202ee\u2028f\u{e0001}g';
    const facts = { hostile, error: new RegistryError('SLUICE_REGISTRY_PROTOCOL', hostile) };
    for (const format of ['text', 'json'] as const) {
      const [line, ...more] = logged(format, (log) => log.warn('a:b', facts));
      expect(more).toEqual([]);
      expect(line?.slice(0, -1)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    }
    expect(jsonOf(facts).facts.hostile).toBe(hostile);
  });

  it('bounds what others can write, and survives circles', () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const chain = new Error('x'.repeat(1e6));
    chain.cause = chain;
    const [line] = logged('json', (log) => log.warn('a', { text: 'y'.repeat(1e6), circle, chain, big: { n: 1n } }));
    expect(line?.length).toBeLessThan(10_000);
  });

  it('says how many lines were lost as soon as one is written again', () => {
    const sink = new MemorySink();
    const log = new Log({ sink });
    log.info('one');
    sink.isFull = true;
    log.info('two');
    log.info('three');
    log.debug('never');
    sink.isFull = false;
    log.info('four');
    log.info('five');
    expect(sink.lines.map((line) => line.split(' ').slice(1).join(' '))).toEqual([
      'info one\n',
      'warn log:lost lines=2\n',
      'info four\n',
      'info five\n',
    ]);
  });
});

describe('secrets', () => {
  const secret = 'hunter2hunter2hunter2';
  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['a fact by its name', { password: secret, token: secret, accessToken: secret, Authorization: secret }],
    ['a URL with a user', { url: `https://user:${secret}@r.example/v2/` }],
    ['a URL with a token for a user', { url: `https://${secret}@r.example/v2/` }],
    ['a signed URL', { url: `https://cdn.example/blob?X-Amz-Signature=${secret}&x=1` }],
    ['a header', { text: `sent "Authorization: Bearer ${secret}" and got nothing` }],
    ['basic credentials', { text: `Basic ${Buffer.from(`user:${secret}`).toString('base64')}` }],
    ['a form', { text: `grant_type=refresh_token&refresh_token=${secret}&scope=x` }],
    ['a document', { text: JSON.stringify({ access_token: secret, password: secret }) }],
    ['an object', { options: { environment: { SLUICE_REGISTRY_PASSWORD: secret } } }],
    ['an error', { error: new Error(`Cannot GET https://user:${secret}@r.example/`) }],
    ['its facts', { error: new RegistryError('SLUICE_REGISTRY_DENIED', 'Cannot', { facts: { token: secret } }) }],
    [
      'what caused it',
      {
        error: new RegistryError('SLUICE_REGISTRY_DENIED', 'Cannot', {
          cause: new Error(`https://cdn.example/?sig=${secret}`),
        }),
      },
    ],
  ])('are left out of %s', (_, facts) => {
    for (const format of ['text', 'json'] as const) {
      const [line] = logged(format, (log) => log.error('a', facts));
      if (format === 'json') expect(line).toContain('[redacted]');
      expect(line).not.toContain(secret);
      expect(line).not.toContain(Buffer.from(secret).toString('base64').slice(4, 20));
    }
  });

  it.each([
    'y'.repeat(2000),
    'y.'.repeat(1000),
    'http://'.repeat(285),
    'tokentoken'.repeat(200),
    'Bearer '.repeat(285),
  ])('are looked for in no time: %.20s…', (text) => {
    const start = performance.now();
    for (let i = 0; i < 20; i++) jsonOf({ text });
    expect(performance.now() - start).toBeLessThan(1000);
  });

  it('are not what only looks a little like one', () => {
    const facts = {
      tokens: 3,
      image: 'docker://r.example/a@sha256:0123',
      text: 'Cannot get token: the registry asks for Basic authentication, or Bearer realm="https://r.example/token"',
    };
    expect(jsonOf(facts).facts).toEqual(facts);
  });
});
