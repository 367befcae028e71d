import type { ByteString } from '../byte-string.ts';
import type { ElfObject, ElfTarget } from './elf.ts';

/** An object of the process that is being predicted. */
export interface LoadedObject {
  /** As the loader found it, symbolic links and all: $ORIGIN is its folder. */
  readonly path: ByteString;
  readonly elf: ElfObject;
  /** Who needs it; undefined for the program. */
  readonly neededBy: LoadedObject | undefined;
}

/** What decides, besides the objects themselves, where libraries are looked for. */
export interface SearchSettings {
  readonly target: ElfTarget;
  /** LD_LIBRARY_PATH. */
  readonly libraryPath: readonly ByteString[];
  /** /etc/ld.so.cache, for glibc; the folders of /etc/ld-musl-ARCH.path or musl's own, for musl. */
  readonly system:
    | { readonly kind: 'glibc'; readonly cache: ReadonlyMap<ByteString, ByteString> }
    | { readonly kind: 'musl'; readonly folders: readonly ByteString[] };
}

/** Stops a search path of thousands of folders; each costs a walk through the tree. */
const MAXIMUM_FOLDERS = 64;

/** Names of a machine in paths: Debian's triplet, and ld.so's $PLATFORM. By EM_*. */
const machines: Readonly<Record<number, { readonly triplet: string; readonly platform: string }>> = {
  3: { triplet: 'i386-linux-gnu', platform: 'i686' },
  40: { triplet: 'arm-linux-gnueabihf', platform: 'v7l' },
  62: { triplet: 'x86_64-linux-gnu', platform: 'x86_64' },
  183: { triplet: 'aarch64-linux-gnu', platform: 'aarch64' },
  243: { triplet: 'riscv64-linux-gnu', platform: 'riscv64' },
};

const muslFolders = ['/lib', '/usr/local/lib', '/usr/lib'] as readonly string[] as readonly ByteString[];

/** Splits a search path at its colons; musl's file also at the ends of lines. */
export function searchPath(text: string): ByteString[] {
  return text
    .split(/[:\n]/)
    .filter((folder) => folder !== '')
    .slice(0, MAXIMUM_FOLDERS) as ByteString[];
}

/** The folders musl's loader looks in. @param text - of /etc/ld-musl-ARCH.path, when there is one */
export function muslSystemFolders(text: string | undefined): readonly ByteString[] {
  return text === undefined ? muslFolders : searchPath(text);
}

/**
 * Where the loader looks for a library, the first place first. Source: ld.so(8); musl, ldso/dynlink.c.
 * @param name - of DT_NEEDED
 * @param by - whose DT_NEEDED it is
 */
export function* libraryPlaces(name: ByteString, by: LoadedObject, settings: SearchSettings): Generator<ByteString> {
  if (name.includes('/')) {
    yield* expand(name, by, settings.target);
    return;
  }
  const folders = settings.system.kind === 'glibc' ? glibcFolders(by, settings) : muslFoldersOf(by, settings);
  for (const folder of folders) yield `${folder}/${name}` as ByteString;
  if (settings.system.kind !== 'glibc') return;
  const known = settings.system.cache.get(name);
  if (known !== undefined) yield known;
  for (const folder of glibcDefaults(settings.target)) yield `${folder}/${name}` as ByteString;
}

/** DT_RPATH counts, up the chain to the program, unless the object has DT_RUNPATH; that counts for the object alone. */
function* glibcFolders(by: LoadedObject, { target, libraryPath }: SearchSettings): Generator<ByteString> {
  if (by.elf.runpath === undefined) {
    for (const object of chain(by)) {
      if (object.elf.runpath === undefined) yield* foldersOf(object, object.elf.rpath, target);
    }
  }
  yield* libraryPath;
  yield* foldersOf(by, by.elf.runpath, target);
}

/** musl makes no difference between the two, and inherits both. */
function* muslFoldersOf(by: LoadedObject, { target, libraryPath, system }: SearchSettings): Generator<ByteString> {
  yield* libraryPath;
  for (const object of chain(by)) yield* foldersOf(object, object.elf.runpath ?? object.elf.rpath, target);
  if (system.kind === 'musl') yield* system.folders;
}

function* chain(object: LoadedObject): Generator<LoadedObject> {
  for (let at: LoadedObject | undefined = object; at !== undefined; at = at.neededBy) yield at;
}

function* foldersOf(object: LoadedObject, path: ByteString | undefined, target: ElfTarget): Generator<ByteString> {
  for (const folder of searchPath(path ?? '')) yield* expand(folder, object, target);
}

/** Dynamic string tokens. $LIB is the distribution's choice: Debian's, then everybody else's. */
function* expand(text: ByteString, object: LoadedObject, { is64, machine }: ElfTarget): Generator<ByteString> {
  const known = machines[machine];
  const origin = object.path.slice(0, object.path.lastIndexOf('/')) || '/';
  const libraries = known === undefined ? [] : [`lib/${known.triplet}`];
  const choices = /\$(LIB|\{LIB\})/.test(text) ? [...libraries, is64 ? 'lib64' : 'lib'] : [''];
  for (const library of choices) {
    yield text.replace(/\$(?:(ORIGIN|LIB|PLATFORM)|\{(ORIGIN|LIB|PLATFORM)\})/g, (_, plain, braced) => {
      const token: string = plain ?? braced;
      if (token === 'ORIGIN') return origin;
      return token === 'LIB' ? library : (known?.platform ?? '');
    }) as ByteString;
  }
}

function* glibcDefaults({ is64, machine }: ElfTarget): Generator<ByteString> {
  const triplet = machines[machine]?.triplet;
  const folders = is64 ? ['lib64', 'lib'] : ['lib'];
  if (triplet !== undefined) folders.unshift(`lib/${triplet}`);
  for (const folder of folders) {
    yield `/${folder}` as ByteString;
    yield `/usr/${folder}` as ByteString;
  }
}
