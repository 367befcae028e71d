import { describe, expect, it } from 'vitest';
import { loadWorkloads, shippedWorkloads } from '../../src/startup/load-workloads.ts';
import { parseWorkload } from '../../src/startup/parse-workload.ts';

const minimal = { image: 'docker://h.example/app:1', ready: { kind: 'exit' } };

const parse = (value: unknown, name = 'app', images?: string) =>
  parseWorkload(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), name, images);

describe('parseWorkload()', () => {
  it('fills in what is left out', () => {
    expect(parse(minimal)).toEqual({
      name: 'app',
      image: 'docker://h.example/app:1',
      command: undefined,
      environment: {},
      ready: { kind: 'exit', status: 0 },
      timeoutMs: 120_000,
    });
  });

  it('takes everything that can be said', () => {
    const value = {
      image: 'python',
      command: ['python3', '-c', 'pass'],
      environment: { A: '1=2', _B2: '' },
      ready: { kind: 'http', port: 8080, path: '/x?y' },
      timeoutSeconds: 5,
    };
    expect(parse(value, 'python-http', 'oci:/images')).toEqual({
      name: 'python-http',
      image: 'oci:/images:python',
      command: ['python3', '-c', 'pass'],
      environment: { A: '1=2', _B2: '' },
      ready: { kind: 'http', port: 8080, path: '/x?y' },
      timeoutMs: 5000,
    });
  });

  it.each([
    [
      { kind: 'exit', status: 3 },
      { kind: 'exit', status: 3 },
    ],
    [
      { kind: 'line', pattern: '^up$' },
      { kind: 'line', pattern: '^up$' },
    ],
    [
      { kind: 'tcp', port: 1 },
      { kind: 'tcp', port: 1 },
    ],
    [
      { kind: 'http', port: 65_535 },
      { kind: 'http', port: 65_535, path: '/' },
    ],
  ])('is ready by %j', (ready, expected) => {
    expect(parse({ ...minimal, ready }).ready).toEqual(expected);
  });

  it.each([
    ['a document that is no JSON', '{', 'no JSON'],
    ['a list', '[]', 'want an object'],
    ['no image', { ready: minimal.ready }, 'image'],
    ['a tag without its place', { ...minimal, image: 'python' }, '--images'],
    ['no readiness', { image: minimal.image }, 'ready'],
    ['an unknown readiness', { ...minimal, ready: { kind: 'udp' } }, '"udp"'],
    ['an unknown member', { ...minimal, cmd: ['x'] }, '"cmd" is not known'],
    ['an unknown member of the readiness', { ...minimal, ready: { kind: 'tcp', port: 1, path: '/' } }, '"path"'],
    ['an empty command', { ...minimal, command: [] }, 'command'],
    ['a command with a NUL', { ...minimal, command: ['a\0'] }, 'command'],
    ['a command that is no list', { ...minimal, command: 'ls -l' }, 'command'],
    ['a bad name of a variable', { ...minimal, environment: { 'A B': '' } }, '"A B"'],
    ['port 0', { ...minimal, ready: { kind: 'tcp', port: 0 } }, 'port is 0'],
    ['a port of 17 bits', { ...minimal, ready: { kind: 'tcp', port: 65_536 } }, 'port is 65536'],
    ['a status of 9 bits', { ...minimal, ready: { kind: 'exit', status: 256 } }, 'status is 256'],
    ['a path that is none', { ...minimal, ready: { kind: 'http', port: 1, path: 'x' } }, '"x" is no path'],
    ['a pattern that is none', { ...minimal, ready: { kind: 'line', pattern: '(' } }, 'no regular expression'],
    ['a pattern without end', { ...minimal, ready: { kind: 'line', pattern: 'x'.repeat(501) } }, 'longer than 500'],
    ['no time', { ...minimal, timeoutSeconds: 0 }, 'timeoutSeconds is 0'],
    ['all the time in the world', { ...minimal, timeoutSeconds: 3601 }, 'timeoutSeconds is 3601'],
  ])('refuses %s', (_what, value, words) => {
    expect(() => parse(value)).toThrow(
      expect.objectContaining({ code: 'SLUICE_OPTION_INVALID', message: expect.stringContaining(words) }),
    );
  });

  it.each(['', 'A', '../x', 'a_b', '-a', 'a-', 'x'.repeat(33)])('refuses the name "%s"', (name) => {
    expect(() => parse(minimal, name)).toThrow(expect.objectContaining({ code: 'SLUICE_OPTION_INVALID' }));
  });
});

describe('loadWorkloads()', () => {
  it('loads all that are shipped', () => {
    const workloads = loadWorkloads([], 'oci:/images');
    expect(workloads.map(({ name }) => name)).toEqual(shippedWorkloads());
    expect(shippedWorkloads()).toEqual(expect.arrayContaining(['nginx', 'node', 'python', 'redis']));
  });

  it.each([
    ['a name that is not shipped', ['nothing'], 'shipped are'],
    ['one name twice', ['redis', 'redis'], 'twice'],
  ])('refuses %s', (_what, names, words) => {
    expect(() => loadWorkloads(names, 'oci:/images')).toThrow(words);
  });
});
