import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteString, byteStringFromText } from '../../src/byte-string.ts';
import { readElf } from '../../src/prefetch/elf.ts';
import { parseLibraryCache } from '../../src/prefetch/library-cache.ts';
import { type Prediction, Predictor, type StartCommand } from '../../src/prefetch/predictor.ts';
import { findExecs, parseScriptLine } from '../../src/prefetch/script.ts';
import { type ElfFileOptions, elfFile, libraryCache } from './elf-file.ts';
import { MemoryFiles, type MemoryTree } from './memory-files.ts';

const interpreter = '/lib64/ld.so';

const program = (options: ElfFileOptions = {}): Buffer => elfFile({ interpreter, ...options });

async function predict(
  tree: MemoryTree,
  args: readonly string[] = ['/app'],
  environment: readonly string[] = [],
): Promise<Prediction[]> {
  const predictions: Prediction[] = [];
  const command: StartCommand = { args, environment, workingDirectory: '/' };
  await new Predictor(new MemoryFiles(tree), command, (prediction) => predictions.push(prediction)).start();
  return predictions;
}

async function predictedPaths(...args: Parameters<typeof predict>): Promise<string[]> {
  return (await predict(...args)).map(({ file }) => file.path);
}

describe('Predictor.start()', () => {
  const cases: [string, MemoryTree, readonly string[], readonly string[], readonly string[]][] = [
    ['finds a program in PATH', { '/b/app': program() }, ['app'], ['PATH=/a:/b'], ['/b/app']],
    ['finds a program from its folder', { '/app': program() }, ['./app'], [], ['/app']],
    ['follows symbolic links', { '/app': '->/real', '/real': program() }, ['/app'], [], ['/real']],
    ['names the interpreter', { '/app': program(), [interpreter]: elfFile() }, ['/app'], [], ['/app', interpreter]],
    [
      'names files among the arguments',
      { '/app': program(), '/data': 'x', '/other': 'y' },
      ['/app', '/data', '-v'],
      [],
      ['/app', '/data'],
    ],
    [
      'follows #! to the interpreter',
      { '/app': '#! /bin/sh -e\n', '/bin/sh': program() },
      ['/app'],
      [],
      ['/app', '/bin/sh'],
    ],
    [
      'looks up what env is told to run',
      { '/app': '#!/usr/bin/env -S A=b node x\n', '/usr/bin/env': program(), '/n/node': program() },
      ['/app'],
      ['PATH=/n'],
      ['/app', '/usr/bin/env', '/n/node'],
    ],
    [
      'runs the arguments of an entrypoint',
      { '/e': '#!/sh\nset -e\nexec "$@"\n', '/sh': program(), '/bin/app': program(), '/bin/not': program() },
      ['/e', 'app', 'not'],
      [],
      ['/e', '/sh', '/bin/app'],
    ],
    [
      'runs what an entrypoint execs by name',
      { '/e': '#!/sh\nexec /app "$1"\n', '/sh': program(), '/app': program() },
      ['/e'],
      [],
      ['/e', '/sh', '/app'],
    ],
    ['ends with a script that runs itself', { '/e': '#!/e\n' }, ['/e'], [], ['/e']],
  ];
  it.each(cases)('%s', async (_, tree, args, environment, expected) => {
    expect((await predictedPaths(tree, args, environment)).sort()).toEqual([...expected].sort());
  });

  it('reads a large file only where the loader does', async () => {
    const data = 100_000;
    const text = Buffer.alloc(9 * 2 ** 20);
    const file = program({ needed: ['x'], data });
    const ranges = (await predict({ '/app': Buffer.concat([file, text]) })).map(({ offset, length }) => [
      offset,
      length,
    ]);
    expect(ranges.at(-1)).toEqual([file.length - data, data]);
    expect(ranges.reduce((sum, [, length = 0]) => sum + length, 0)).toBeLessThan(file.length);
  });
});

describe('libraries', () => {
  /** Which file a program's or a library's DT_NEEDED leads to. */
  const cases: [string, MemoryTree, readonly string[], readonly string[]][] = [
    [
      'breadth first',
      {
        '/app': program({ needed: ['a', 'b'] }),
        '/lib/a': elfFile({ needed: ['c'] }),
        '/lib/b': elfFile(),
        '/lib/c': elfFile(),
      },
      [],
      ['/app', '/lib/a', '/lib/b', '/lib/c'],
    ],
    [
      'the cache before the usual folders',
      {
        '/app': program({ needed: ['a'] }),
        '/etc/ld.so.cache': libraryCache([{ name: 'a', path: '/x/a' }]),
        '/x/a': elfFile(),
        '/lib/a': elfFile(),
      },
      [],
      ['/app', '/etc/ld.so.cache', '/x/a'],
    ],
    [
      'not those of another machine in the cache',
      {
        '/app': program({ needed: ['a'] }),
        '/etc/ld.so.cache': libraryCache([
          { name: 'a', path: '/x/a', flags: 0x0003 },
          { name: 'a', path: '/v3/a', hwcap: 2n },
        ]),
        '/x/a': elfFile(),
        '/v3/a': elfFile(),
        '/lib/a': elfFile(),
      },
      [],
      ['/app', '/etc/ld.so.cache', '/lib/a'],
    ],
    [
      'past one of another class or machine',
      {
        '/app': program({ needed: ['a', 'b'], runpath: '/r' }),
        '/r/a': elfFile({ is64: false }),
        '/r/b': elfFile({ machine: 183 }),
        '/lib/a': elfFile(),
        '/lib/b': elfFile(),
      },
      [],
      ['/app', '/r/a', '/r/b', '/lib/a', '/lib/b'],
    ],
    [
      'LD_LIBRARY_PATH before DT_RUNPATH',
      { '/app': program({ needed: ['a'], runpath: '/r' }), '/r/a': elfFile(), '/l/a': elfFile() },
      ['LD_LIBRARY_PATH=/l'],
      ['/app', '/l/a'],
    ],
    [
      'DT_RPATH before LD_LIBRARY_PATH',
      { '/app': program({ needed: ['a'], rpath: '/r' }), '/r/a': elfFile(), '/l/a': elfFile() },
      ['LD_LIBRARY_PATH=/l'],
      ['/app', '/r/a'],
    ],
    [
      'not in DT_RPATH where there is DT_RUNPATH',
      { '/app': program({ needed: ['a'], rpath: '/r', runpath: '/n' }), '/r/a': elfFile(), '/lib/a': elfFile() },
      [],
      ['/app', '/lib/a'],
    ],
    [
      "in the program's DT_RPATH for its libraries' libraries",
      {
        '/app': program({ needed: ['a'], rpath: '/r' }),
        '/r/a': elfFile({ needed: ['b'] }),
        '/r/b': elfFile(),
      },
      [],
      ['/app', '/r/a', '/r/b'],
    ],
    [
      "not in the program's DT_RUNPATH for its libraries' libraries",
      {
        '/app': program({ needed: ['a'], runpath: '/r' }),
        '/r/a': elfFile({ needed: ['b'] }),
        '/r/b': elfFile(),
        '/usr/lib/b': elfFile(),
      },
      [],
      ['/app', '/r/a', '/usr/lib/b'],
    ],
    [
      "not in the program's DT_RPATH for libraries of one that has DT_RUNPATH",
      {
        '/app': program({ needed: ['a'], rpath: '/r' }),
        '/r/a': elfFile({ needed: ['b'], runpath: '/n' }),
        '/r/b': elfFile(),
        '/lib/b': elfFile(),
      },
      [],
      ['/app', '/r/a', '/lib/b'],
    ],
    [
      '$ORIGIN, $LIB and $PLATFORM',
      {
        '/app': '->/opt/bin/app',
        '/opt/bin/app': program({ needed: ['a', 'b', 'c'], runpath: `$ORIGIN/../own:/u/$\{LIB}:/p/$PLATFORM` }),
        '/opt/own/a': elfFile(),
        '/u/lib/x86_64-linux-gnu/b': elfFile(),
        '/p/x86_64/c': elfFile(),
      },
      [],
      ['/opt/bin/app', '/opt/own/a', '/u/lib/x86_64-linux-gnu/b', '/p/x86_64/c'],
    ],
    [
      'a name with a slash as a path',
      { '/app': program({ needed: ['/x/a'] }), '/x/a': elfFile(), '/lib/a': elfFile() },
      [],
      ['/app', '/x/a'],
    ],
    [
      "musl's folders, DT_RUNPATH inherited",
      {
        '/app': elfFile({ interpreter: '/lib/ld-musl-x86_64.so.1', needed: ['a'], runpath: '/r' }),
        '/lib/ld-musl-x86_64.so.1': elfFile(),
        '/etc/ld-musl-x86_64.path': '/m\n/n',
        '/r/a': elfFile({ needed: ['b', 'c'] }),
        '/r/b': elfFile(),
        '/n/c': elfFile(),
        '/lib/c': elfFile(),
      },
      [],
      ['/app', '/lib/ld-musl-x86_64.so.1', '/r/a', '/r/b', '/n/c'],
    ],
  ];
  it.each(cases)('are looked for: %s', async (_, tree, environment, expected) => {
    expect((await predictedPaths(tree, ['/app'], environment)).sort()).toEqual([...expected].sort());
  });

  it('are opened a level at a time', async () => {
    const tree = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`/lib/l${i}`, elfFile()]));
    const needed = Object.keys(tree).map((name) => name.slice(5));
    const files = new MemoryFiles({ ...tree, '/app': program({ needed }) });
    const command = { args: ['/app'], environment: [], workingDirectory: '/' };
    let predicted = 0;
    let opened = 0;
    const read = files.read.bind(files);
    files.read = async (file, offset, length) => {
      if (file.path === '/lib/l0') opened = predicted;
      return read(file, offset, length);
    };
    await new Predictor(files, command, () => predicted++).start();
    expect(predicted).toBe(21);
    expect(opened).toBe(21);
  });
});

describe('reads that fail', () => {
  it.each(['/usr/bin/python3.11', '/app'])('fail the prediction of %s, and nobody else', async (name) => {
    const files = new MemoryFiles({ [name]: program(), '/app.py': 'import os\n', '/usr/lib/python3.11/os.py': '' });
    // Late: what is not waited for by then ends the process.
    files.read = () => new Promise((_, reject) => setImmediate(reject, new Error('no network')));
    const unhandled: unknown[] = [];
    const listen = (error: unknown): unknown => unhandled.push(error);
    process.on('unhandledRejection', listen);
    const command: StartCommand = { args: [name, '/app.py'], environment: [], workingDirectory: '/' };
    await expect(new Predictor(files, command, () => undefined).start()).rejects.toThrow('no network');
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', listen);
    expect(unhandled).toEqual([]);
  });
});

describe('readElf()', () => {
  it.each([
    { is64: true, littleEndian: true },
    { is64: true, littleEndian: false },
    { is64: false, littleEndian: true },
    { is64: false, littleEndian: false },
  ])('reads class and byte order %o', async (options) => {
    const files = new MemoryFiles({
      '/x': elfFile({ ...options, interpreter: '/i', needed: ['a', 'b'], runpath: '/r' }),
    });
    const file = files.find(byteStringFromText('/x'));
    expect(file && (await readElf(files, file))).toMatchObject({
      target: { is64: options.is64, machine: 62 },
      interpreter: '/i',
      needed: ['a', 'b'],
      rpath: undefined,
      runpath: '/r',
    });
  });
});

describe('scripts', () => {
  it.each([
    ['#!/bin/sh', { interpreter: '/bin/sh', words: [] }],
    ['#! \t/bin/sh  -e \nrest', { interpreter: '/bin/sh', words: ['-e'] }],
    ['#!\n', undefined],
    ['no script', undefined],
  ])('parseScriptLine(%j)', (text, expected) => {
    expect(parseScriptLine(Buffer.from(text))).toEqual(expected);
  });

  it.each([
    ['exec "$@"', [], true],
    ['  exec gosu redis "$0" "$@"', ['gosu'], true],
    ['if x; then exec /bin/app -v; fi', ['/bin/app'], false],
    ['[ -n "$x" ] && exec app', [], false],
    ['# exec app', [], false],
    ['exec $APP', [], false],
    ['exec 2>&1', [], false],
    ['executable', [], false],
  ])('findExecs(%j)', (text, programs, runsArguments) => {
    expect(findExecs(byteStringFromText(text))).toEqual({ programs, runsArguments });
  });
});

describe('hostile files', () => {
  const mutated = fc
    .record({
      base: fc.constantFrom(
        program({ needed: ['a', 'b'], runpath: '$ORIGIN' }),
        elfFile({ is64: false, littleEndian: false, needed: ['a'] }),
        libraryCache([{ name: 'a', path: '/app' }]),
        Buffer.from('#!/app\nexec "$@"\nexec /app\n'),
      ),
      edits: fc.array(fc.tuple(fc.nat(400), fc.constantFrom(0, 1, 0x7f, 0xff)), { maxLength: 12 }),
      cut: fc.option(fc.nat(400), { nil: undefined }),
    })
    .map(({ base, edits, cut }) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, cut);
    });

  it('end a prediction quietly, and soon', async () => {
    await fc.assert(
      fc.asyncProperty(mutated, mutated, mutated, async (app, a, cache) => {
        const files = new MemoryFiles({ '/app': app, '/lib/a': a, '/lib/b': app, '/etc/ld.so.cache': cache });
        const command = { args: ['/app', '/app', 'app'], environment: ['PATH=/:/lib'], workingDirectory: '/' };
        const predictions: Prediction[] = [];
        await new Predictor(files, command, (prediction) => predictions.push(prediction)).start();
        expect(files.reads).toBeLessThan(500);
        for (const { file, offset, length } of predictions) {
          expect(offset >= 0 && length >= 0 && offset + length <= file.size).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('of any bytes are read to no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        parseLibraryCache(bytes, { is64: true, machine: 62 });
        parseScriptLine(bytes);
        findExecs(byteString(bytes));
      }),
    );
  });

  it('of a thousand libraries that need each other are bounded', async () => {
    const names = Array.from({ length: 1000 }, (_, i) => `l${i}`);
    const tree: Record<string, Buffer> = { '/app': program({ needed: names.slice(0, 200) }) };
    for (const [i, name] of names.entries()) tree[`/lib/${name}`] = elfFile({ needed: names.slice(i, i + 200) });
    expect((await predict(tree)).length).toBeLessThanOrEqual(513);
  });

  it('that name a thousand folders and libraries are looked up a bounded number of times', async () => {
    const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `x${i}`);
    const runpath = many(1000)
      .map((name) => `/${name}`)
      .join(':');
    const files = new MemoryFiles({ '/app': program({ needed: many(1000), runpath }) });
    let lookups = 0;
    const find = files.find.bind(files);
    files.find = (path) => {
      lookups++;
      return find(path);
    };
    const command = { args: ['/app'], environment: [], workingDirectory: '/' };
    await new Predictor(files, command, () => undefined).start();
    expect(lookups).toBeLessThan(8300);
  });
});
