import { Command } from 'commander';
import { type ByteString, byteStringFromText, displayText } from '../byte-string.ts';
import { S_IFBLK, S_IFCHR, S_IFMT } from '../erofs/inode.ts';
import type { ErofsReader } from '../erofs/reader.ts';
import type { ListedFile, Listing } from '../image/list-path.ts';
import { jsonText, modeText, timeText, typeName } from './file-text.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions } from './options.ts';
import { columnsText, printResult } from './output.ts';
import { type ImageFlags, withImage } from './with-image.ts';
import { writeOut } from './write-out.ts';

interface ListFlags extends ImageFlags {
  readonly long?: boolean;
  readonly recursive?: boolean;
}

const examples = `
Examples:
  sluice ls docker://HOST/app:1-sluice
  sluice ls -l docker://HOST/app:1-sluice /etc
  sluice ls -R --json oci:layout:app /usr/lib

Nothing is mounted, and no file content is fetched. Symbolic links on the way to PATH are followed inside the image; the
last name is followed when PATH ends in a slash. Bytes of names that are no UTF-8 are shown as \\xNN.`;

export function lsCommand(): Command {
  const command = new Command('ls')
    .summary('list files of an image')
    .description('Lists files of a converted image without mounting it.')
    .argument('<image>', 'the image to look into')
    .argument('[path]', 'a directory or file in the image', '/')
    .option('-l, --long', 'show mode, links, owner, group, size or device number, time and link target')
    .option('-R, --recursive', 'list the directories below too')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(list);
}

async function list(imageText: string, path: string, flags: ListFlags): Promise<void> {
  const { listPath } = await import('../image/list-path.ts');
  await withImage(imageText, flags, async ({ image }) => {
    const { erofs } = image.bootstrap;
    const listings = listPath(erofs, byteStringFromText(path), flags.recursive === true);
    if (flags.json === true) {
      const files = [...listings].flatMap(({ files }) => files.map((file) => fileFacts(erofs, file)));
      printResult(true, files, () => '');
    } else {
      await writeOut(listingTexts(listings, flags));
    }
  });
}

function* listingTexts(listings: Iterable<Listing>, { recursive, long }: ListFlags): Generator<string> {
  let isFirst = true;
  for (const { directory, files } of listings) {
    if (recursive === true && directory !== undefined) {
      yield `${isFirst ? '' : '\n'}/${displayText(directory)}:\n`;
    }
    isFirst = false;
    yield long === true ? columnsText(files.map(longRow), '<>>>>><') : shortText(files);
  }
}

function shortText(files: readonly ListedFile[]): string {
  return files.map(({ name }) => `${displayText(name)}\n`).join('');
}

function longRow({ name, inode, target }: ListedFile): string[] {
  const { mode, nlink, uid, gid, size, rdev, mtime, mtimeNs } = inode;
  const type = mode & S_IFMT;
  const extent = type === S_IFCHR || type === S_IFBLK ? `${rdev.major},${rdev.minor}` : `${size}`;
  const arrow = target === undefined ? '' : ` -> ${displayText(target)}`;
  const shown = `${displayText(name)}${arrow}`;
  return [modeText(mode), `${nlink}`, `${uid}`, `${gid}`, extent, timeText(mtime, mtimeNs), shown];
}

/** Everything the image says of a file. */
function fileFacts(erofs: ErofsReader, { path, inode, target }: ListedFile): Record<string, unknown> {
  const { nid, mode, nlink, uid, gid, size, rdev, mtime, mtimeNs } = inode;
  const type = mode & S_IFMT;
  return {
    ...jsonText('path', `/${path}` as ByteString),
    type: typeName(mode),
    mode: `0${(mode & 0o7777).toString(8)}`,
    inode: nid,
    nlink,
    uid,
    gid,
    size,
    mtime,
    mtimeNs,
    ...(type === S_IFCHR || type === S_IFBLK ? { major: rdev.major, minor: rdev.minor } : {}),
    ...(target === undefined ? {} : jsonText('target', target)),
    xattrs: Array.from(erofs.xattrs(nid), ([name, value]) => ({
      ...jsonText('name', name),
      value: Buffer.from(value).toString('hex'),
    })),
  };
}
