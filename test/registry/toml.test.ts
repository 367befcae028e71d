import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import { maximumTomlBytes, parseToml, type Toml } from '../../src/registry/toml.ts';
import { fuzzText } from '../support/fuzz.ts';

const plain = (value: Toml): unknown => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, one]) => [key, plain(one)]));
  return Array.isArray(value) ? value.map(plain) : value;
};
const parse = (text: string): unknown => plain(parseToml(text, 'hosts.toml'));

const example = `# the registry
server = "https://registry-1.docker.io"

[host."https://mirror.example:5000"]  # near
  capabilities = [
    "pull",   # content
    'resolve',
  ]
  ca = "/etc/certs/ca.pem"
  client = [["/a.cert", "/a.key"], ["/b.pem", ""]]
  skip_verify = false
  [host."https://mirror.example:5000".header]
    x-custom-1 = "a \\"b\\" \\u00e9\\t"
[host.'http://[::1]:80']
override_path = true
limits = { "retries" = 1_000, wait.ms = -5, none = {} }\r
`;

describe('parseToml()', () => {
  it('reads what hosts.toml says', () => {
    expect(parse(example)).toEqual({
      server: 'https://registry-1.docker.io',
      host: {
        'https://mirror.example:5000': {
          capabilities: ['pull', 'resolve'],
          ca: '/etc/certs/ca.pem',
          client: [
            ['/a.cert', '/a.key'],
            ['/b.pem', ''],
          ],
          skip_verify: false,
          header: { 'x-custom-1': 'a "b" é\t' },
        },
        'http://[::1]:80': { override_path: true, limits: { retries: 1000, wait: { ms: -5 }, none: {} } },
      },
    });
    expect(parse('')).toEqual({});
    expect(parse('__proto__ = 1\nconstructor.x = 2')).toEqual(JSON.parse('{"__proto__":1,"constructor":{"x":2}}'));
  });

  it.each([
    ['a date', 'a = 1979-05-27'],
    ['a fraction', 'a = 1.5'],
    ['a number with zeros before it', 'a = 012'],
    ['a number too large', 'a = 9007199254740993'],
    ['an array of tables', '[[a]]'],
    ['a string of several lines', 'a = """b"""'],
    ['a key twice', 'a = 1\na = 2'],
    ['a table twice', '[a]\n[a]'],
    ['a table that is a value', 'a = 1\n[a.b]'],
    ['a string that does not end', 'a = "b\n'],
    ['an escape nobody knows', 'a = "\\q"'],
    ['half a character', 'a = "\\ud800"'],
    ['no value', 'a ='],
    ['no key', '= 1'],
    ['two settings on a line', 'a = 1 b = 2'],
    ['an array that does not end', 'a = [1, 2'],
    ['a bare word', 'a = yes'],
    ['a deep array', `a = ${'['.repeat(50_000)}`],
    ['a deep key', `${'a.'.repeat(50_000)}b = 1`],
    ['too much', `a = "${'x'.repeat(maximumTomlBytes)}"`],
  ])('refuses %s, and says where', (_, text) => {
    expect(() => parse(`\n${text}`)).toThrow(expect.objectContaining({ code: 'SLUICE_CONFIG_INVALID' }));
    expect(() => parse(`\n${text}`)).toThrow(/^Cannot read "hosts.toml": line \d+: /);
  });

  it('gives a value or an error for any text', () => {
    fuzzText(6000, example, (text) => {
      try {
        expect(parseToml(text, 'x')).toBeInstanceOf(Map);
      } catch (error) {
        if (!(error instanceof SluiceError)) throw error;
      }
    });
  });
});
