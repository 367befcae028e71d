import path from 'node:path';
import { Command } from 'commander';
import type { CheckReport } from '../check/check-image.ts';
import type { Problem } from '../check/problem.ts';
import { IntegrityError } from '../errors.ts';
import type { Platform } from '../oci/image.ts';
import {
  addCacheDirOption,
  addJsonOption,
  addPlatformOption,
  addRegistryOptions,
  type CacheFlags,
  type RegistryFlags,
  registryOptions,
} from './options.ts';
import { bytesText, note, printResult } from './output.ts';
import { cancelOnSignals } from './signals.ts';

interface CheckFlags extends RegistryFlags, CacheFlags {
  readonly source?: string;
  readonly platform?: Platform;
  readonly json?: boolean;
}

const examples = `
Examples:
  sluice check docker://HOST/app:1-sluice
  sluice check --source docker://HOST/app:1 docker://HOST/app:1-sluice
  sluice check --json oci:layout:app

Everything is read from where the image is, nothing from the cache, and nothing stops at the first problem. The exit
status is 5 when anything is wrong. With --source, the source's layers are unpacked below the cache directory, one at a
time, and every file, attribute and byte is compared.`;

export function checkCommand(): Command {
  const command = new Command('check')
    .summary('verify every byte of an image')
    .description('Verifies the metadata of a converted image and every chunk of its content.')
    .argument('<image>', 'the image to check')
    .option('--source <image>', 'the image it was converted from, to compare with')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(check);
}

async function check(imageText: string, flags: CheckFlags): Promise<void> {
  const [{ checkImage }, { openSource }] = await Promise.all([
    import('../check/check-image.ts'),
    import('../transport/open.ts'),
  ]);
  const registry = registryOptions(flags);
  const image = openSource(imageText, registry);
  const source = flags.source === undefined ? undefined : openSource(flags.source, registry);
  try {
    const report = await checkImage({
      image,
      source,
      platform: flags.platform,
      workDirectory: path.join(flags.cacheDir, 'check'),
      report: flags.json === true ? () => undefined : note,
      signal: cancelOnSignals(),
    });
    printResult(flags.json, report, () => reportText(report));
    if (report.problemCount > 0) throw verdict(report);
  } finally {
    await Promise.allSettled([image.close(), source?.close()]);
  }
}

function verdict({ image, problemCount, problems }: CheckReport): IntegrityError {
  const differs = problems.every(({ code }) => code === 'SLUICE_SOURCE_DIFFERS');
  const count = problemCount === 1 ? '1 problem' : `${problemCount} problems`;
  return new IntegrityError(
    differs ? 'SLUICE_SOURCE_DIFFERS' : 'SLUICE_IMAGE_DAMAGED',
    `Cannot vouch for ${image}: ${count}`,
    { facts: { problems: problemCount } },
  );
}

function reportText(report: CheckReport): string {
  const { problems, problemCount, source } = report;
  const unlisted = problemCount - problems.length;
  const compared = source && [
    `compared with ${source.image}: ${source.files} files, ${bytesText(source.bytes)} of content`,
    ...(source.isRecorded
      ? []
      : [`the image says that it was converted from another manifest than ${source.manifest}`]),
  ];
  return [
    ...problems.map(problemText),
    ...(unlisted > 0 ? [`… and more: ${unlisted} problems are not listed`] : []),
    `manifest    ${report.manifest ?? 'unreadable'}`,
    `merkle root ${report.root ?? 'not verified'}`,
    `${report.files} files, ${report.inodes} inodes, ${report.blobs} blobs of ${bytesText(report.blobBytes)}, ${report.chunks} chunks`,
    ...(compared ?? []),
    problemCount === 0 ? 'everything is as it should be' : `${problemCount} problems`,
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function problemText({ message, code, blob, compressedOffset, paths, pathCount }: Problem): string {
  const place = compressedOffset === undefined ? '' : `\n  at byte ${compressedOffset} of blob ${blob}`;
  const unnamed = (pathCount ?? 0) - (paths?.length ?? 0);
  const more = unnamed > 0 ? `\n  and ${unnamed} more files` : '';
  const files = pathCount === undefined ? [] : (paths ?? []);
  return `${message} (${code})${place}${files.map((file) => `\n  in ${file}`).join('')}${more}`;
}
