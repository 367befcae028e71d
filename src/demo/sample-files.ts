import { constants, type Dirent } from 'node:fs';
import { access, readdir, readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import type { SampleFile } from './sample-layer.ts';

/** What the running Node needs to run again: itself and the libraries it is linked with, loader included. */
export interface NodeFiles {
  /** Where the program stands, in the image as on this machine. */
  readonly program: string;
  readonly libraries: readonly string[];
}

export async function findNode(): Promise<NodeFiles> {
  const { sharedObjects } = process.report.getReport() as { sharedObjects: readonly string[] };
  // Without the kernel's vDSO, which is no file, and without addons.
  const libraries = sharedObjects.filter((file) => file.startsWith('/') && !file.endsWith('.node'));
  return { program: await realpath(process.execPath), libraries: [...new Set(libraries)] };
}

/** Folders that come with Node and that a program run by it never reads. */
export function besideNode(program: string): readonly string[] {
  const prefix = path.resolve(program, '../..');
  return [path.join(prefix, 'lib/node_modules/npm'), '/usr/share/nodejs', path.join(prefix, 'include/node')];
}

/** One file, under its own name; a symbolic link is replaced by what it leads to. */
export async function takeFile(file: string): Promise<SampleFile> {
  const { mode } = await stat(file);
  return { path: file.slice(1), mode: mode & 0o777, content: { file } };
}

/**
 * Files and symbolic links below `folders`, in the order of their names, until there are `maximumBytes`. What is empty,
 * not there or not to be read is left out.
 */
export async function takeFolders(folders: readonly string[], maximumBytes: number): Promise<SampleFile[]> {
  const taken: SampleFile[] = [];
  let bytes = 0;
  const ahead = [...folders].reverse();
  for (let folder = ahead.pop(); folder !== undefined && bytes < maximumBytes; folder = ahead.pop()) {
    const items = await sortedItems(folder);
    for (const item of items) {
      const file = path.join(folder, item.name);
      const sample = item.isSymbolicLink()
        ? await takeLink(file)
        : item.isFile()
          ? await takeReadable(file)
          : undefined;
      if (sample === undefined || bytes + sample.size > maximumBytes) continue;
      taken.push(sample.file);
      bytes += sample.size;
    }
    const below = items.filter((item) => item.isDirectory()).map((item) => path.join(folder, item.name));
    ahead.push(...below.reverse());
  }
  return taken;
}

async function sortedItems(folder: string): Promise<Dirent[]> {
  const items = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return items.sort((a, b) => (a.name < b.name ? -1 : 1));
}

interface Sized {
  readonly file: SampleFile;
  readonly size: number;
}

async function takeLink(file: string): Promise<Sized> {
  return { file: { path: file.slice(1), mode: 0o777, content: { target: await readlink(file) } }, size: 0 };
}

async function takeReadable(file: string): Promise<Sized | undefined> {
  try {
    await access(file, constants.R_OK);
    const { size } = await stat(file);
    return size === 0 ? undefined : { file: await takeFile(file), size };
  } catch {
    return undefined;
  }
}
