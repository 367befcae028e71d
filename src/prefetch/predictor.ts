import { type ByteString, byteString, byteStringFromText } from '../byte-string.ts';
import { type ByteRange, type ElfObject, readElf } from './elf.ts';
import type { ImageFile, ImageFiles } from './image-files.ts';
import { parseLibraryCache } from './library-cache.ts';
import {
  type LoadedObject,
  libraryPlaces,
  muslSystemFolders,
  type SearchSettings,
  searchPath,
} from './library-search.ts';
import { PythonModules, pythonVersion } from './python-modules.ts';
import { findExecs, parseScriptLine } from './script.ts';

/** What is started. */
export interface StartCommand {
  /** Program and arguments. */
  readonly args: readonly string[];
  /** `NAME=value`. */
  readonly environment: readonly string[];
  readonly workingDirectory: string;
}

/** Why a file is read by a start. */
export type Reason = 'program' | 'interpreter' | 'library' | 'argument' | 'module' | 'system';

/** A run of a file that a start will read. */
export interface Prediction extends ByteRange {
  readonly file: ImageFile;
  readonly reason: Reason;
}

/**
 * An ELF file up to this size is read as a whole, sooner or later: the kernel reads 1 MiB around each page that faults.
 * Of a larger one, what the loader reads (ADR-0009).
 */
const WHOLE_FILE = 8 * 1024 * 1024;

/** Stops an image in which every library needs others. A desktop program has 300. */
const MAXIMUM_LIBRARIES = 512;

/** Stops search paths of many folders for many libraries that are in none of them; each is a walk through the tree. */
const MAXIMUM_LOOKUPS = 8192;

/** Stops scripts that run one another. Linux gives up after as many (BINPRM_MAX_RECURSION in effect). */
const MAXIMUM_SCRIPTS = 5;

/** Of a script that is searched for exec lines; of a library cache; of a file named on the command line. Bytes. */
const SCRIPT_SIZE = 64 * 1024;
const LIBRARY_CACHE_SIZE = 4 * 1024 * 1024;
const ARGUMENT_SIZE = 1024 * 1024;

/** Stops a command line that names every file of the image. */
const MAXIMUM_ARGUMENTS = 16;

/** What runc looks up before it starts anything, and the C library of nearly every program after. */
const systemFiles = ['/etc/passwd', '/etc/ld.so.cache', '/etc/localtime'] as readonly string[] as readonly ByteString[];

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const libraryCachePath = '/etc/ld.so.cache' as ByteString;

/**
 * Says which bytes of an image the start of a command reads, from what the image itself says: `#!` lines, ELF headers,
 * the loader's rules. Pure but for its reads; each file is named once.
 */
export class Predictor {
  readonly #files: ImageFiles;
  readonly #command: StartCommand;
  readonly #emit: (prediction: Prediction) => void;
  /** Files named so far, by nid. */
  readonly #named = new Set<number>();
  /** Of the first object that was loaded; what the process loads later is found by the same rules. */
  #settings: Promise<SearchSettings> | undefined;
  #python: PythonModules | undefined;
  #libraries = 0;
  #lookups = 0;

  /** @param emit - told of each prediction as soon as it is made, in about the order of a start */
  constructor(files: ImageFiles, command: StartCommand, emit: (prediction: Prediction) => void) {
    this.#files = files;
    this.#command = command;
    this.#emit = emit;
  }

  /**
   * Predicts the start of the command.
   * @throws what `files.read()` throws; nothing for whatever the files hold
   */
  async start(): Promise<void> {
    const [name, ...args] = this.#command.args.map(byteStringFromText);
    const program = name === undefined ? undefined : this.#program(name);
    await Promise.all([
      program === undefined ? undefined : this.#run(program, args, 0),
      this.#besides(args.slice(0, MAXIMUM_ARGUMENTS)),
    ]);
  }

  /** Predicts what loading `file` takes: a program, a library, a module. Does nothing for one named before. */
  async load(file: ImageFile): Promise<void> {
    if (this.#named.has(file.nid)) return;
    const elf = await readElf(this.#files, file);
    if (this.#named.has(file.nid)) return;
    if (elf === undefined) {
      if (file.path.endsWith('.py')) await this.#python?.source(file);
      return;
    }
    this.#first(file, 'library');
    await this.#needs(file, elf, 'library');
  }

  /** What needs no look into any file. Async: what the emitter throws must not leave the program's reads to nobody. */
  async #besides(args: readonly ByteString[]): Promise<void> {
    for (const path of systemFiles) this.#whole(this.#files.find(path), 'system');
    for (const path of args) {
      const file = path === '' ? undefined : this.#files.find(this.#absolute(path));
      if (file !== undefined && file.size <= ARGUMENT_SIZE) this.#whole(file, 'argument');
    }
  }

  async #run(program: ImageFile, args: readonly ByteString[], depth: number): Promise<void> {
    if (await this.#runElf(program, args)) return;
    const text = await this.#files.read(program, 0, SCRIPT_SIZE);
    const line = parseScriptLine(text);
    if (line === undefined || depth >= MAXIMUM_SCRIPTS) return;
    const execs = findExecs(byteString(text));
    const script = [program.path, ...args];
    // env's own options and assignments stand before the program.
    const ofEnv = line.interpreter.endsWith('/env') ? line.words.filter((word) => !/^-|=/.test(word)).slice(0, 1) : [];
    const runs = [
      ...[line.interpreter, ...ofEnv].map((name) => ({ name, args: script })),
      ...execs.programs.map((name) => ({ name, args: [] })),
      ...(execs.runsArguments ? args.slice(0, 1).map((name) => ({ name, args: args.slice(1) })) : []),
    ];
    await Promise.all(runs.map((run) => this.#runNext(run.name, run.args, depth + 1)));
  }

  async #runNext(name: ByteString, args: readonly ByteString[], depth: number): Promise<void> {
    const program = this.#program(name);
    if (program !== undefined && !this.#named.has(program.nid)) await this.#run(program, args, depth);
  }

  /** @returns whether it is an ELF file */
  async #runElf(program: ImageFile, args: readonly ByteString[]): Promise<boolean> {
    const isPython = pythonVersion(program.path) !== undefined;
    const modules = isPython ? this.#runPython(program, args) : undefined;
    const [isElf] = await Promise.all([this.#load(program, 'program'), modules]);
    return isElf;
  }

  /** `python SCRIPT` or `python -m MODULE`. */
  async #runPython(interpreter: ImageFile, args: readonly ByteString[]): Promise<void> {
    const at = args.findIndex((arg) => !arg.startsWith('-') || arg === '-m');
    const isModule = args[at] === '-m';
    const name = args[isModule ? at + 1 : at];
    const script = name === undefined || isModule ? undefined : this.#files.find(this.#absolute(name));
    const folder = script?.path.replace(/\/[^/]*$/, '') ?? this.#command.workingDirectory;
    const extra = searchPath(this.#variable('PYTHONPATH') ?? '');
    const sink = {
      module: (file: ImageFile) => this.#whole(file, 'module'),
      extension: (file: ImageFile) => this.load(file),
    };
    this.#python = new PythonModules(this.#files, sink, interpreter.path, folder, extra);
    const main = isModule && name !== undefined ? [name, `${name}.__main__`] : [];
    await Promise.all([this.#python.start(main), script === undefined ? undefined : this.#python.source(script)]);
  }

  /** @returns whether it is an ELF file */
  async #load(file: ImageFile, reason: Reason): Promise<boolean> {
    this.#first(file, reason);
    const elf = await readElf(this.#files, file);
    if (elf !== undefined) await this.#needs(file, elf, reason);
    return elf !== undefined;
  }

  async #needs(file: ImageFile, elf: ElfObject, reason: Reason): Promise<void> {
    this.#loaderReads(file, elf, reason);
    const interpreter = elf.interpreter === undefined ? undefined : this.#files.find(elf.interpreter);
    this.#whole(interpreter, 'interpreter');
    this.#settings ??= this.#readSettings(elf, interpreter);
    const settings = await this.#settings;
    await this.#closure({ path: file.path, elf, neededBy: undefined }, settings);
  }

  /** Breadth first, as loaders do: the libraries of one level together, so that a level is a round trip and no library. */
  async #closure(root: LoadedObject, settings: SearchSettings): Promise<void> {
    const names = new Set<ByteString>();
    for (let level = [root]; level.length > 0; ) {
      const wanted = level.flatMap((by) => by.elf.needed.map((name) => ({ name, by })));
      const fresh = wanted.filter(({ name }) => !names.has(name) && names.add(name));
      const found = await Promise.all(fresh.map(({ name, by }) => this.#library(name, by, settings)));
      level = found.filter((object) => object !== undefined);
    }
  }

  /** The first that is there and of the right kind. One that was named before is not opened again. */
  async #library(name: ByteString, by: LoadedObject, settings: SearchSettings): Promise<LoadedObject | undefined> {
    for (const path of libraryPlaces(name, by, settings)) {
      if (this.#lookups++ >= MAXIMUM_LOOKUPS) return undefined;
      const file = this.#files.find(path);
      if (file === undefined) continue;
      if (this.#named.has(file.nid) || this.#libraries++ >= MAXIMUM_LIBRARIES) return undefined;
      this.#first(file, 'library');
      const elf = await readElf(this.#files, file);
      if (elf?.target.is64 !== settings.target.is64 || elf.target.machine !== settings.target.machine) continue;
      this.#loaderReads(file, elf, 'library');
      return { path, elf, neededBy: by };
    }
    return undefined;
  }

  async #readSettings({ target }: ElfObject, interpreter: ImageFile | undefined): Promise<SearchSettings> {
    const libraryPath = searchPath(this.#variable('LD_LIBRARY_PATH') ?? '');
    const architecture = /\/ld-musl-([^/]+)\.so\.1$/.exec(interpreter?.path ?? '')?.[1];
    if (architecture === undefined) {
      const cache = parseLibraryCache(await this.#content(libraryCachePath), target);
      return { target, libraryPath, system: { kind: 'glibc', cache } };
    }
    const path = `/etc/ld-musl-${architecture}.path` as ByteString;
    const text = this.#files.find(path) === undefined ? undefined : byteString(await this.#content(path));
    return { target, libraryPath, system: { kind: 'musl', folders: muslSystemFolders(text) } };
  }

  async #content(path: ByteString): Promise<Uint8Array> {
    const file = this.#files.find(path);
    return file === undefined ? new Uint8Array() : this.#files.read(file, 0, LIBRARY_CACHE_SIZE);
  }

  /** As execvp(3) finds it, with the image's PATH. */
  #program(name: ByteString): ImageFile | undefined {
    if (name === '') return undefined;
    if (name.includes('/')) return this.#files.find(this.#absolute(name));
    for (const folder of searchPath(this.#variable('PATH') ?? defaultPath)) {
      const file = this.#files.find(this.#absolute(`${folder}/${name}` as ByteString));
      if (file !== undefined && (file.mode & 0o111) !== 0) return file;
    }
    return undefined;
  }

  #absolute(path: ByteString): ByteString {
    const folder = byteStringFromText(this.#command.workingDirectory);
    return path.startsWith('/') ? path : (`${folder}/${path}` as ByteString);
  }

  #variable(name: string): ByteString | undefined {
    const found = this.#command.environment.find((variable) => variable.startsWith(`${name}=`));
    return found === undefined ? undefined : byteStringFromText(found.slice(name.length + 1));
  }

  /** What is sure before the file's headers are there. */
  #first(file: ImageFile, reason: Reason): void {
    if (file.size <= WHOLE_FILE) this.#whole(file, reason);
    else this.#named.add(file.nid);
  }

  #loaderReads(file: ImageFile, elf: ElfObject, reason: Reason): void {
    if (file.size <= WHOLE_FILE) return;
    for (const range of elf.loaderReads) this.#emit({ file, reason, ...range });
  }

  #whole(file: ImageFile | undefined, reason: Reason): void {
    if (file === undefined || this.#named.has(file.nid)) return;
    this.#named.add(file.nid);
    this.#emit({ file, reason, offset: 0, length: file.size });
  }
}
