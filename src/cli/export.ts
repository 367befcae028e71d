import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { UsageError } from '../errors.ts';
import type { ExportSummary } from '../export/export-image.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions, registryOptions } from './options.ts';
import { bytesText, note, printResult, tableText } from './output.ts';
import { cancelOnSignals } from './signals.ts';
import { type ImageAtHand, type ImageFlags, withImage } from './with-image.ts';
import { writeOut } from './write-out.ts';

interface ExportFlags extends ImageFlags {
  readonly tar?: string;
}

const examples = `
Examples:
  sluice export docker://HOST/app:1-sluice docker://HOST/app:1-exported
  sluice export docker://HOST/app:1-sluice oci:layout:app
  sluice export --tar app.tar oci:layout:app
  sluice export --tar - oci:layout:app | tar -x -C rootfs

The image has one tar+gzip layer for each layer of the source, with the same entries in the same order; the tar has the
merged tree. Everything is verified as it is read. Where the image was converted with --drop-hidden, files that upper
layers hide are there with no content: the merged tree is the same.`;

export function exportCommand(): Command {
  const command = new Command('export')
    .summary('turn a converted image back into an OCI image or a tar')
    .description('Writes a converted image as an ordinary OCI image, or its merged tree as one tar.')
    .argument('<image>', 'the converted image')
    .argument('[destination]', 'where the OCI image goes')
    .option('--tar <file>', 'write the merged tree as a tar instead; - for stdout')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(runExport);
}

async function runExport(imageText: string, targetText: string | undefined, flags: ExportFlags): Promise<void> {
  const signal = cancelOnSignals();
  const { tar } = flags;
  if ((targetText === undefined) === (tar === undefined)) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot export: want a destination, or --tar FILE, and not both');
  }
  if (tar === '-' && flags.json === true) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot export: stdout is for the tar or for JSON, not for both');
  }
  await withImage(
    imageText,
    flags,
    (open) => (tar === undefined ? toImage(open, targetText ?? '', flags, signal) : toTar(open, tar, flags, signal)),
    signal,
  );
}

async function toImage(
  { source, image, cache }: ImageAtHand,
  targetText: string,
  flags: ExportFlags,
  signal: AbortSignal,
): Promise<void> {
  const [{ exportImage }, { openChunks }, { openTarget }] = await Promise.all([
    import('../export/export-image.ts'),
    import('../image/open-chunks.ts'),
    import('../transport/open.ts'),
  ]);
  const target = openTarget(targetText, registryOptions(flags));
  const content = openChunks(source, image, { cache });
  try {
    const summary = await exportImage({
      image,
      blobs: source,
      chunks: content.chunks,
      target,
      workDirectory: path.join(flags.cacheDir, 'export'),
      report: flags.json === true ? () => undefined : note,
      signal,
    });
    printResult(flags.json, summary, () => summaryText(summary));
  } finally {
    content.close();
    await target.close();
  }
}

function summaryText({ layers, manifest, droppedFiles }: ExportSummary): string {
  const rows = layers.map(({ size, tarSize }, i) => [String(i + 1), bytesText(tarSize), bytesText(size)]);
  const dropped = droppedFiles > 0 ? `${droppedFiles} hidden files have no content in this image\n` : '';
  return `${tableText([['layer', 'tar', 'compressed'], ...rows])}${dropped}manifest  ${manifest}\n`;
}

async function toTar(
  { source, image, cache }: ImageAtHand,
  file: string,
  flags: ExportFlags,
  signal: AbortSignal,
): Promise<void> {
  const [{ exportTar }, { openChunks }] = await Promise.all([
    import('../export/export-tar.ts'),
    import('../image/open-chunks.ts'),
  ]);
  const content = openChunks(source, image, { cache });
  try {
    const tar = exportTar(image, content.chunks, signal);
    if (file === '-') await writeOut(tar);
    else printResult(flags.json, { image: image.reference, ...(await writeFile(tar, file)) }, () => '');
  } finally {
    content.close();
  }
}

/** The file appears when it is whole. */
async function writeFile(tar: AsyncIterable<Uint8Array>, file: string): Promise<{ file: string; size: number }> {
  const partial = `${file}.${process.pid}.partial`;
  const out = createWriteStream(partial, { flags: 'wx' });
  try {
    await pipeline(tar, out);
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  return { file, size: out.bytesWritten };
}
