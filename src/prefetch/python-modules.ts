import { type ByteString, byteString } from '../byte-string.ts';
import type { ImageFile, ImageFiles } from './image-files.ts';
import { findPythonImports, type PythonImport } from './python-imports.ts';

/** What modules turn into. */
export interface PythonSink {
  /** A source, or its compiled form, will be read as a whole. */
  module(file: ImageFile): void;
  /** A module in machine code, which needs libraries. */
  extension(file: ImageFile): Promise<void>;
}

/** Read before a script is. Source: Python/pylifecycle.c, init_fs_encoding(). */
const firstModules = ['encodings', 'encodings.aliases', 'encodings.utf_8'];

/** Part of the interpreter itself since 3.11: their files are not read. Source: Python/frozen.c. */
const frozenModules = new Set(
  (
    'abc codecs io _collections_abc _sitebuiltins genericpath ntpath posixpath os os.path site stat importlib ' +
    'importlib._bootstrap importlib._bootstrap_external importlib.util importlib.machinery runpy zipimport'
  ).split(' '),
);

/** Stops modules that import thousands of others that are not there. Large applications load 3,000 from six places. */
const MAXIMUM_LOOKUPS = 20_000;

/** Of a source, to be searched for imports. Bytes. */
const SOURCE_SIZE = 1024 * 1024;

/** Of a compiled module: magic, flags, then the source's mtime and size. Source: PEP 552. */
const COMPILED_HEADER = 16;
const CHECKED_HASH = 2;

/** @returns the version an interpreter has in its name (`3.11`); undefined for any other program */
export function pythonVersion(program: ByteString): string | undefined {
  return /\/python(3\.\d+)$/.exec(program)?.[1];
}

/** Says which modules a Python program loads, from the imports in its sources. */
export class PythonModules {
  readonly #files: ImageFiles;
  readonly #sink: PythonSink;
  readonly #version: string;
  readonly #path: readonly string[];
  /** Paths that were looked for, and whether they were found. */
  readonly #seen = new Map<string, boolean>();

  /**
   * @param interpreter - its path: the standard library is beside it
   * @param script - the folder of what it runs, searched first
   * @param extra - PYTHONPATH
   */
  constructor(
    files: ImageFiles,
    sink: PythonSink,
    interpreter: ByteString,
    script: string | undefined,
    extra: readonly string[],
  ) {
    this.#files = files;
    this.#sink = sink;
    this.#version = pythonVersion(interpreter) ?? '';
    const prefix = interpreter.replace(/\/bin\/[^/]*$/, '');
    const library = `${prefix}/lib/python${this.#version}`;
    const packages = [`${library}/site-packages`, `${prefix}/local/lib/python${this.#version}/dist-packages`];
    const own = [library, `${library}/lib-dynload`, ...packages, `${prefix}/lib/python3/dist-packages`];
    this.#path = [...(script === undefined ? [] : [script]), ...extra, ...own];
  }

  /** What every start of the interpreter loads, and then `names`. */
  async start(names: readonly string[]): Promise<void> {
    await this.#follow([...firstModules, ...names].map((name) => absolute(name)));
  }

  /** What a source imports that is being read. */
  async source(file: ImageFile): Promise<void> {
    await this.#follow(await this.#importsOf(file, file.path));
  }

  /** A level of imports at a time: all its files are asked for together. */
  async #follow(imports: readonly Located[]): Promise<void> {
    for (let level = imports; level.length > 0; ) {
      const files = level.flatMap((found) => this.#locate(found));
      const next = await Promise.all(files.map((file) => this.#load(file)));
      level = next.flat();
    }
  }

  /** The packages on the way to a module are loaded too. */
  #locate({ level, names, members, from }: Located): ImageFile[] {
    const isAbsolute = level === 0;
    const roots = isAbsolute ? this.#path : [from.split('/').slice(0, -level).join('/')];
    const packages = names.map((_, i) => names.slice(0, i + 1));
    const modules = [...packages, ...members.map((member) => [...names, member])];
    const own = modules.filter((module) => !(isAbsolute && frozenModules.has(module.join('.'))));
    return own.map((module) => this.#search(roots, module.join('/'))).filter((file) => file !== undefined);
  }

  /** @returns the first that is there; undefined for one that was found before, too */
  #search(roots: readonly string[], module: string): ImageFile | undefined {
    for (const root of roots) {
      const path = `${root}/${module}`;
      const known = this.#seen.get(path);
      if (known === true) return undefined;
      if (known === false || this.#seen.size >= MAXIMUM_LOOKUPS) continue;
      const file = this.#first(path);
      this.#seen.set(path, file !== undefined);
      if (file !== undefined) return file;
    }
    return undefined;
  }

  /** As the import system tries them: package, extension, source. Source: importlib/_bootstrap_external.py. */
  #first(path: string): ImageFile | undefined {
    const tag = this.#version.replace('.', '');
    const machines = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((machine) => `.cpython-${tag}-${machine}.so`);
    for (const ending of ['/__init__.py', ...machines, '.abi3.so', '.py']) {
      const file = this.#files.find(`${path}${ending}` as ByteString);
      if (file !== undefined) return file;
    }
    return undefined;
  }

  /** @returns what the module imports, where that can be seen in what is read anyway */
  async #load(file: ImageFile): Promise<readonly Located[]> {
    if (file.path.endsWith('.so')) {
      await this.#sink.extension(file);
      return [];
    }
    const compiled = this.#compiled(file);
    if (compiled !== undefined) this.#sink.module(compiled);
    if (compiled !== undefined && (await this.#isEnough(compiled, file))) return [];
    this.#sink.module(file);
    return this.#importsOf(file, file.path);
  }

  #compiled({ path }: ImageFile): ImageFile | undefined {
    const at = path.lastIndexOf('/');
    const name = path.slice(at + 1).replace(/\.py$/, `.cpython-${this.#version.replace('.', '')}.pyc`);
    return this.#files.find(`${path.slice(0, at)}/__pycache__/${name}` as ByteString);
  }

  /** Whether the compiled form does without its source. One with a checked hash has the source read to check it. */
  async #isEnough(compiled: ImageFile, source: ImageFile): Promise<boolean> {
    const bytes = await this.#files.read(compiled, 0, COMPILED_HEADER);
    if (bytes.length < COMPILED_HEADER) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const flags = view.getUint32(4, true);
    if (flags !== 0) return (flags & CHECKED_HASH) === 0;
    return view.getUint32(8, true) === source.mtime >>> 0 && view.getUint32(12, true) === source.size;
  }

  async #importsOf(file: ImageFile, from: string): Promise<Located[]> {
    const text = byteString(await this.#files.read(file, 0, SOURCE_SIZE));
    return findPythonImports(text).map((found) => ({ ...found, from }));
  }
}

interface Located extends PythonImport {
  /** The file it stands in. */
  readonly from: string;
}

function absolute(name: string): Located {
  return { level: 0, names: name.split('.'), members: [], from: '' };
}
