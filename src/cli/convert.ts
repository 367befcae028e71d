import path from 'node:path';
import { Command, Option } from 'commander';
import type { ConvertSummary } from '../convert/summary.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import { UsageError } from '../errors.ts';
import type { Platform } from '../oci/image.ts';
import {
  addCacheDirOption,
  addJsonOption,
  addPlatformOption,
  addRegistryOptions,
  type CacheFlags,
  parseCount,
  type RegistryFlags,
  registryOptions,
} from './options.ts';
import { bytesText, note, printResult, tableText } from './output.ts';
import { readProfileFile } from './profile-file.ts';
import { showProgress } from './progress.ts';
import { cancelOnSignals } from './signals.ts';

interface ConvertFlags extends RegistryFlags, CacheFlags {
  readonly digest: DigestAlgorithm;
  readonly level: number;
  readonly dropHidden?: boolean;
  readonly trace?: string;
  readonly workers?: number;
  readonly platform?: Platform;
  readonly reuse: boolean;
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice convert docker://HOST/app:1 docker://HOST/app:1-sluice
  sluice convert docker-archive:app.tar oci:layout:app
  sluice convert --drop-hidden oci:layout:app docker://127.0.0.1:5000/app
  sluice convert --trace start.json oci:layout:app docker://127.0.0.1:5000/app

An interrupted conversion goes on where it stopped. A layer that this machine has converted before, or that the
destination already holds under the same name, is not converted again.`;

export function convertCommand(): Command {
  const command = new Command('convert')
    .summary('turn an OCI image into a lazily loadable one')
    .description('Converts an OCI image into chunked, deduplicated blobs and a verified bootstrap, and pushes them.')
    .argument('<source>', 'the image to convert')
    .argument('<destination>', 'where the converted image goes')
    .addOption(new Option('--digest <name>', 'digest of chunks').choices(['sha256', 'blake3']).default('sha256'))
    .option('--level <n>', 'zstd level of chunks, 1 to 19', parseLevel, defaultLevel)
    .option('--drop-hidden', 'leave out files that upper layers hide; layers are then not shared with other images')
    .option(
      '--trace <file>',
      'put the files of this profile first, as "sluice trace" makes it; layers are then not shared either',
    )
    .option('--workers <n>', 'worker threads (default: one a core); does not change the result', parseCount)
    .option('--no-reuse', 'convert every layer anew')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(convert);
}

const defaultLevel = 5;
/** Higher ones of zstd want memory by the hundreds of MiB. */
const maximumLevel = 19;

function parseLevel(text: string): number {
  const level = Number(text);
  if (Number.isInteger(level) && level >= 1 && level <= maximumLevel) return level;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot use level "${text}": want a whole number from 1 to ${maximumLevel}`,
  );
}

async function convert(sourceText: string, targetText: string, flags: ConvertFlags): Promise<void> {
  const [{ convertImage }, { openSource, openTarget }] = await Promise.all([
    import('../convert/convert-image.ts'),
    import('../transport/open.ts'),
  ]);
  const registry = registryOptions(flags);
  const source = openSource(sourceText, registry);
  const target = openTarget(targetText, registry);
  const previous = flags.reuse && !targetText.startsWith('oci-archive:') ? openSource(targetText, registry) : undefined;
  const progress = showProgress(flags.json === true);
  try {
    const summary = await convertImage({
      source,
      target,
      previous,
      reuse: flags.reuse,
      workDirectory: path.join(flags.cacheDir, 'convert'),
      parameters: {
        digest: flags.digest,
        level: flags.level,
        dropHidden: flags.dropHidden === true,
        trace: flags.trace === undefined ? undefined : await readProfileFile(flags.trace),
      },
      platform: flags.platform,
      workers: flags.workers,
      report: progress.report,
      signal: cancelOnSignals(),
    });
    progress.stop();
    printResult(flags.json, summary, () => summaryText(summary));
  } finally {
    progress.stop();
    await Promise.allSettled([source.close(), target.close(), previous?.close()]);
  }
  if (flags.json !== true) note(`mount it with: sluice mount ${targetText} DIR`);
}

const origins = { converted: 'converted', machine: 'reused', target: 'reused from the destination' } as const;

function summaryText(summary: ConvertSummary): string {
  const rows = [
    ['layer', 'before', 'after', 'chunks', ''],
    ...summary.layers.map((layer, i) => [
      String(i + 1),
      bytesText(layer.sourceSize),
      bytesText(layer.blobSize),
      String(layer.chunks),
      origins[layer.from],
    ]),
    ['bootstrap', '', bytesText(summary.bootstrapLayerSize), '', ''],
    ['total', bytesText(summary.sourceSize), bytesText(summary.targetSize), String(summary.chunks), ''],
  ];
  return [
    tableText(rows),
    `${summary.files} files, ${summary.inodes} inodes\n`,
    `${bytesText(summary.repeatedSize)} of content not stored again: the image has it already\n`,
    `${bytesText(summary.presentSize)} of blobs not sent: the destination has them already\n`,
    `${bytesText(summary.hiddenSize)} in chunks that upper layers hide: never fetched\n`,
    `manifest    ${summary.manifest}\n`,
    `merkle root ${summary.root}\n`,
  ].join('');
}
