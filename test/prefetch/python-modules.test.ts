import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { byteStringFromText } from '../../src/byte-string.ts';
import { Predictor } from '../../src/prefetch/predictor.ts';
import { findPythonImports } from '../../src/prefetch/python-imports.ts';
import { pythonVersion } from '../../src/prefetch/python-modules.ts';
import { elfFile } from './elf-file.ts';
import { MemoryFiles, type MemoryTree } from './memory-files.ts';

const library = '/usr/lib/python3.11';

/** The header of a compiled module. Source: PEP 552. */
function compiled(flags: number, sourceSize: number): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(flags, 4);
  header.writeUInt32LE(sourceSize, 12);
  return header;
}

async function predictedFiles(tree: MemoryTree, args: string[], environment: string[] = []): Promise<string[]> {
  const files = new MemoryFiles({ '/usr/bin/python3': '->python3.11', '/usr/bin/python3.11': elfFile(), ...tree });
  const found: string[] = [];
  const command = { args, environment, workingDirectory: '/work' };
  await new Predictor(files, command, ({ file }) => found.push(file.path)).start();
  return found.filter((path) => path !== '/usr/bin/python3.11').sort();
}

describe('findPythonImports()', () => {
  it.each([
    ['import a', [[0, 'a']]],
    [
      'import a.b as c, d # e',
      [
        [0, 'a.b'],
        [0, 'd'],
      ],
    ],
    ['from a import b, c as d', [[0, 'a', 'b', 'c']]],
    ['from a import (b,', [[0, 'a', 'b']]],
    ['from a import *', [[0, 'a']]],
    ['from . import a', [[1, '', 'a']]],
    ['from ..a.b import c', [[2, 'a.b', 'c']]],
    ['try:\n    import a\nexcept ImportError:\n    b = 1', [[0, 'a']]],
    ['def f():\n    import a', []],
    ['if TYPE_CHECKING:\n    import a', []],
    ['# import a\nimporting = 1\n"import a"', []],
  ])('%j', (text, expected) => {
    const found = findPythonImports(byteStringFromText(text));
    expect(found.map(({ level, names, members }) => [level, names.join('.'), ...members])).toEqual(expected);
  });

  it('takes any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'from import.,()#\n a') }), (text) => {
        for (const { names, members } of findPythonImports(byteStringFromText(text))) {
          expect([...names, ...members].join('')).not.toMatch(/[/\s]/);
        }
      }),
    );
  });
});

describe('modules of a Python program', () => {
  const cases: [string, MemoryTree, string[], string[], string[]][] = [
    [
      'imports of imports, packages on the way',
      {
        '/a/x.py': 'import p.q\n',
        [`${library}/p/__init__.py`]: 'from . import r\n',
        [`${library}/p/q.py`]: '',
        [`${library}/p/r.py`]: 'from .q import name\n',
      },
      ['python3', '/a/x.py'],
      [],
      ['/a/x.py', `${library}/p/__init__.py`, `${library}/p/q.py`, `${library}/p/r.py`],
    ],
    [
      "the script's folder and PYTHONPATH before the library",
      { '/a/x.py': 'import m, n', '/a/m.py': '', '/e/n.py': '', [`${library}/m.py`]: '', [`${library}/n.py`]: '' },
      ['python3', '/a/x.py'],
      ['PYTHONPATH=/e'],
      ['/a/m.py', '/a/x.py', '/e/n.py'],
    ],
    [
      'with -m',
      { '/work/app/__init__.py': '', '/work/app/__main__.py': 'import m', [`${library}/m.py`]: '' },
      ['python3', '-m', 'app', 'x'],
      [],
      [`${library}/m.py`, '/work/app/__init__.py', '/work/app/__main__.py'],
    ],
    [
      'of a script with #!',
      { '/bin/app': '#!/usr/bin/env python3\nimport m', '/usr/bin/env': elfFile(), [`${library}/m.py`]: '' },
      ['app'],
      [],
      ['/bin/app', '/usr/bin/env', `${library}/m.py`],
    ],
    [
      'not those that are part of the interpreter',
      { '/a/x.py': 'import os', [`${library}/os.py`]: '' },
      ['python3', '/a/x.py'],
      [],
      ['/a/x.py'],
    ],
    [
      'an extension, and what it needs',
      {
        '/a/x.py': 'import m',
        [`${library}/lib-dynload/m.cpython-311-x86_64-linux-gnu.so`]: elfFile({ needed: ['l'] }),
        '/usr/lib/l': elfFile(),
      },
      ['python3', '/a/x.py'],
      [],
      ['/a/x.py', '/usr/lib/l', `${library}/lib-dynload/m.cpython-311-x86_64-linux-gnu.so`],
    ],
    ...(
      [
        ['the compiled form alone', compiled(0, 8), false],
        ['the source too, of another size', compiled(0, 9), true],
        ['the compiled form alone, with an unchecked hash', compiled(1, 0), false],
        ['the source too, with a checked hash', compiled(3, 0), true],
      ] as const
    ).map(([name, header, hasSource]): (typeof cases)[number] => [
      name,
      {
        '/a/x.py': 'import m',
        [`${library}/m.py`]: 'import n',
        [`${library}/__pycache__/m.cpython-311.pyc`]: header,
        [`${library}/n.py`]: '',
      },
      ['python3', '/a/x.py'],
      [],
      [
        '/a/x.py',
        `${library}/__pycache__/m.cpython-311.pyc`,
        ...(hasSource ? [`${library}/m.py`, `${library}/n.py`] : []),
      ],
    ]),
  ];
  it.each(cases)('%s', async (_, tree, args, environment, expected) => {
    expect(await predictedFiles(tree, args, environment)).toEqual([...expected].sort());
  });

  it('that import each other, and thousands that are not there, end', async () => {
    const many = Array.from({ length: 500 }, (_, i) => `import m${i}, x${i}.y.z`).join('\n');
    const tree = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`${library}/m${i}.py`, many]));
    expect((await predictedFiles({ '/a/x.py': many, ...tree }, ['python3', '/a/x.py'])).length).toBe(51);
  });
});

describe('pythonVersion()', () => {
  it.each([
    ['/usr/bin/python3.11', '3.11'],
    ['/usr/bin/python3', undefined],
    ['/usr/bin/python3.11-config', undefined],
    ['/usr/bin/ruby', undefined],
  ])('%s', (path, version) => {
    expect(pythonVersion(byteStringFromText(path))).toBe(version);
  });
});
