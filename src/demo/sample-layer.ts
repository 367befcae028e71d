import { readFile } from 'node:fs/promises';
import { byteStringFromText } from '../byte-string.ts';
import type { TarEntry } from '../tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar/writer.ts';

/** A file of the sample image. */
export interface SampleFile {
  /** Without a slash in front. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** A file of this machine, bytes, or where a symbolic link leads. */
  readonly content: { readonly file: string } | { readonly bytes: Uint8Array } | { readonly target: string };
  /** Default: root. */
  readonly owner?: number;
}

/** The tar of a layer. One piece a file: no file of the sample is so large that it would not fit in memory. */
export async function* sampleTar(files: readonly SampleFile[]): AsyncGenerator<Uint8Array> {
  for (const { content, ...file } of files) {
    const bytes = 'target' in content ? undefined : 'bytes' in content ? content.bytes : await readFile(content.file);
    const header = tarHeader({
      ...plainEntry,
      path: byteStringFromText(file.path),
      linkTarget: byteStringFromText('target' in content ? content.target : ''),
      type: bytes === undefined ? 'symlink' : 'file',
      mode: file.mode,
      uid: file.owner ?? 0,
      gid: file.owner ?? 0,
      size: bytes?.length ?? 0,
    });
    yield bytes === undefined ? header : Buffer.concat([header, bytes, tarPadding(bytes.length)]);
  }
  yield tarEnd;
}

const plainEntry = {
  mtime: 1_600_000_000,
  mtimeNs: 0,
  major: 0,
  minor: 0,
  xattrs: new Map(),
  sparse: undefined,
} satisfies Partial<TarEntry>;
