import { createHash } from 'node:crypto';
import { Command } from 'commander';
import { byteStringFromText } from '../byte-string.ts';
import { S_IFMT, S_IFREG } from '../erofs/inode.ts';
import { NotFoundError } from '../errors.ts';
import type { ResolvedPath } from '../image/resolve-path.ts';
import { typeName } from './file-text.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions } from './options.ts';
import { printResult } from './output.ts';
import { cancelOnSignals } from './signals.ts';
import { type ImageAtHand, type ImageFlags, withImage } from './with-image.ts';
import { writeOut } from './write-out.ts';

const examples = `
Examples:
  sluice cat docker://HOST/app:1-sluice /etc/os-release
  sluice cat oci:layout:app /usr/bin/app > app
  sluice cat --json oci:layout:app /etc/passwd /etc/group

Only what is read is fetched, and every byte is verified before it is written. Symbolic links are followed inside the
image. With --json, path, size and SHA-256 of each file are printed instead of its content, which is read and verified
all the same.`;

export function catCommand(): Command {
  const command = new Command('cat')
    .summary('print files of an image')
    .description('Writes the content of files of a converted image to stdout, one after the other.')
    .argument('<image>', 'the image to read')
    .argument('<path...>', 'files in the image')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(print);
}

type ReadContent = (file: ResolvedPath) => AsyncIterable<Uint8Array>;

async function print(imageText: string, paths: readonly string[], flags: ImageFlags): Promise<void> {
  const [{ resolvePath }, { readFile }, { openChunks }] = await Promise.all([
    import('../image/resolve-path.ts'),
    import('../image/read-file.ts'),
    import('../image/open-chunks.ts'),
  ]);
  const signal = cancelOnSignals();
  const use = async ({ source, image, cache }: ImageAtHand): Promise<void> => {
    const { bootstrap } = image;
    const files = paths.map((text) => {
      const found = resolvePath(bootstrap.erofs, byteStringFromText(text), 'follow');
      return { text, ...checkFile(text, found) };
    });
    const open = openChunks(source, image, { cache });
    const content: ReadContent = ({ inode }) => readFile(bootstrap, open.chunks, inode.nid, inode.size, signal);
    try {
      if (flags.json === true) printResult(true, await summaries(files, content), () => '');
      else await writeOut(allContents(files, content));
    } finally {
      open.close();
    }
  };
  await withImage(imageText, flags, use, signal);
}

function checkFile(text: string, found: ResolvedPath): ResolvedPath {
  const { mode } = found.inode;
  if ((mode & S_IFMT) === S_IFREG) return found;
  throw new NotFoundError('SLUICE_PATH_NOT_FOUND', `Cannot read "${text}": it is a ${typeName(mode)}, not a file`);
}

/** As one stream: when the reader of the first file goes away, the next is not read. */
async function* allContents(files: readonly ResolvedPath[], content: ReadContent): AsyncGenerator<Uint8Array> {
  for (const file of files) yield* content(file);
}

async function summaries(
  files: readonly (ResolvedPath & { readonly text: string })[],
  content: ReadContent,
): Promise<object[]> {
  const results: object[] = [];
  for (const file of files) {
    const hash = createHash('sha256');
    for await (const bytes of content(file)) hash.update(bytes);
    results.push({ path: file.text, size: file.inode.size, sha256: hash.digest('hex') });
  }
  return results;
}
