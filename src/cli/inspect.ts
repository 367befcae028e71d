import { Command } from 'commander';
import { annotation } from '../image/annotations.ts';
import type { OpenImage } from '../image/open-image.ts';
import { formatPlatform } from '../oci/platform.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions } from './options.ts';
import { bytesText, printResult, tableText } from './output.ts';
import { type ImageFlags, withImage } from './with-image.ts';
import { writeOut } from './write-out.ts';

interface InspectFlags extends ImageFlags {
  readonly dump?: boolean;
}

const examples = `
Examples:
  sluice inspect docker://HOST/app:1-sluice
  sluice inspect --json oci:layout:app
  sluice inspect --dump oci:layout:app | less

Only the manifest, the configuration and the bootstrap are read. An image that is not sluice's is an error with the code
SLUICE_MANIFEST_UNSUPPORTED.`;

export function inspectCommand(): Command {
  const command = new Command('inspect')
    .summary('show what an image is made of')
    .description('Shows the digests, blobs and configuration of a converted image.')
    .argument('<image>', 'the image to look into')
    .option('--dump', 'print the EROFS metadata instead, every structure with its offset')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(inspect);
}

async function inspect(imageText: string, flags: InspectFlags): Promise<void> {
  const { dumpErofs } = await import('../erofs/dump.ts');
  await withImage(imageText, flags, async ({ image }) => {
    if (flags.dump === true) {
      const lines = dumpErofs(image.bootstrap.erofs);
      if (flags.json === true) printResult(true, [...lines], () => '');
      else await writeOut(withLineEnds(lines));
      return;
    }
    const facts = describeImage(image);
    printResult(flags.json, facts, () => factsText(facts));
  });
}

function* withLineEnds(lines: Iterable<string>): Generator<string> {
  for (const line of lines) yield `${line}\n`;
}

type ImageFacts = ReturnType<typeof describeImage>;

function describeImage(image: OpenImage) {
  const { bootstrap, manifest, config, bootstrapLayer, root } = image;
  const { erofs } = bootstrap;
  const { entrypoint, command, environment, user, workingDirectory, labels } = config.process;
  return {
    image: image.reference,
    manifest: image.raw.descriptor.digest,
    root,
    source: manifest.annotations[annotation.source],
    formatVersion: manifest.annotations[annotation.format],
    platform: formatPlatform(config.platform),
    digestAlgorithm: bootstrap.digestAlgorithm,
    inodes: erofs.inodeCount,
    blobs: bootstrap.devices.map(({ blob, blobSize, chunks }) => ({
      digest: blob,
      size: blobSize,
      deviceSize: chunks.deviceSize,
      chunks: chunks.count,
      averageChunk: chunks.count === 0 ? 0 : Math.round(chunks.deviceSize / chunks.count),
    })),
    bootstrap: {
      layer: bootstrapLayer.digest,
      layerSize: bootstrapLayer.size,
      size: bootstrap.share().bytes.length,
      erofsSize: erofs.superblock.blocks * erofsBlockSize,
    },
    config: { entrypoint, command, environment, user, workingDirectory, labels },
  };
}

const erofsBlockSize = 4096;

function factsText(facts: ImageFacts): string {
  const { bootstrap, config } = facts;
  const labels = Object.entries(config.labels).map(([key, value]) => `${key}=${value}`);
  const heading = [
    ['image', facts.image],
    ['manifest', facts.manifest],
    ['merkle root', facts.root],
    ['converted from', facts.source ?? 'unknown'],
    ['format', `version ${facts.formatVersion}, chunks by ${facts.digestAlgorithm}`],
    ['platform', facts.platform],
    ['inodes', String(facts.inodes)],
    ['bootstrap', `${bytesText(bootstrap.size)}, ${bytesText(bootstrap.layerSize)} in the registry`],
    ['entrypoint', JSON.stringify(config.entrypoint)],
    ['command', JSON.stringify(config.command)],
    ['user', config.user || 'root'],
    ['directory', config.workingDirectory],
    ...config.environment.map((variable) => ['environment', variable]),
    ...labels.map((label) => ['label', label]),
  ];
  const blobs = facts.blobs.map(({ digest, size, deviceSize, chunks, averageChunk }) => [
    digest,
    bytesText(size),
    bytesText(deviceSize),
    String(chunks),
    bytesText(averageChunk),
  ]);
  const lines = heading.map(([name = '', value = '']) => `${name.padEnd(16)}${printable(value)}\n`);
  return `${lines.join('')}\n${tableText([['blob', 'size', 'device', 'chunks', 'average'], ...blobs])}`;
}

/** Whoever made the image wrote these texts, and the reader's terminal obeys control characters. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`);
}
