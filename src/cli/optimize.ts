import { Command } from 'commander';
import { NotFoundError, UsageError } from '../errors.ts';
import type { OptimizedProfile } from '../optimize/optimize-image.ts';
import type { Profile } from '../profile/profile.ts';
import { addCacheDirOption, addJsonOption, addPlatformOption, addRegistryOptions, registryOptions } from './options.ts';
import { bytesText, note, printResult, tableText } from './output.ts';
import { readProfileFile } from './profile-file.ts';
import { cancelOnSignals } from './signals.ts';
import { type ImageAtHand, type ImageFlags, withImage } from './with-image.ts';

interface OptimizeFlags extends ImageFlags {
  readonly profile?: readonly string[];
  readonly from?: string;
}

const examples = `
Examples:
  sluice run --trace docker://HOST/app:1-sluice   once, to record what its start reads
  sluice optimize docker://HOST/app:1-sluice
  sluice optimize --from app.json --profile worker oci:layout:app

The pages of each profile are stored beside the image in the order in which its start reads them, and found through the
registry's list of referrers; the image itself and its digest do not change. Whoever starts it by then fetches these
pages in one request, ahead of the reads. A profile of the same name is replaced.`;

export function optimizeCommand(): Command {
  const command = new Command('optimize')
    .summary('store what a start reads beside the image, to be fetched first')
    .description('Attaches recorded profiles, and the pages they name, to a converted image.')
    .argument('<image>', 'the image; its repository has to be writable')
    .option(
      '--profile <name>',
      'which recorded profile, may be repeated (default: all); with --from, its name',
      collect,
    )
    .option('--from <file>', 'a profile document instead of those recorded on this machine')
    .addHelpText('after', examples);
  for (const add of [addPlatformOption, addRegistryOptions, addCacheDirOption, addJsonOption]) add(command);
  return command.action(optimize);
}

function collect(name: string, names: readonly string[] = []): readonly string[] {
  return [...names, name];
}

async function optimize(imageText: string, flags: OptimizeFlags): Promise<void> {
  const [{ optimizeImage }, { openChunks }, { openReferrerTarget }, { KeptDocuments }, { profileArtifactType }] =
    await Promise.all([
      import('../optimize/optimize-image.ts'),
      import('../image/open-chunks.ts'),
      import('../transport/open.ts'),
      import('../image/kept-documents.ts'),
      import('../image/profile-manifest.ts'),
    ]);
  const signal = cancelOnSignals();
  // First: a place that nothing can be attached to is an error of the command line.
  const target = openReferrerTarget(imageText, registryOptions(flags));
  const use = async ({ source, image, cache }: ImageAtHand): Promise<void> => {
    const profiles = await chooseProfiles(imageText, image.root, flags);
    const { chunks, close } = openChunks(source, image, { cache });
    try {
      const attached = await optimizeImage({ image, chunks, place: { source, target }, profiles, signal });
      const { digest } = image.raw.descriptor;
      // What this machine keeps of the list is out of date by now.
      await new KeptDocuments(source, cache.files).askReferrers(digest, profileArtifactType, signal);
      printResult(flags.json, { image: image.reference, manifest: digest, profiles: attached }, () =>
        resultText(digest, attached),
      );
      for (const { name } of attached.filter(({ pages }) => pages === 0)) {
        note(`profile "${name}": nothing that it names is in this image`);
      }
    } finally {
      close();
    }
  };
  try {
    await withImage(imageText, flags, use, signal);
  } finally {
    await target.close();
  }
}

async function chooseProfiles(image: string, root: Profile['root'], flags: OptimizeFlags): Promise<Profile[]> {
  const { ProfileStore, checkProfileName } = await import('../profile/profile-store.ts');
  if (flags.from !== undefined) return [await readProfile(flags.from, (flags.profile ?? []).map(checkProfileName))];
  const store = new ProfileStore(flags.cacheDir);
  const names = flags.profile ?? (await store.list(root));
  const profiles = await Promise.all(names.map((name) => store.load(root, name)));
  const missing = names.find((_, i) => profiles[i] === undefined);
  if (missing !== undefined || names.length === 0) {
    const what = missing === undefined ? 'a profile' : `profile "${missing}"`;
    throw new NotFoundError(
      'SLUICE_PROFILE_NOT_FOUND',
      `Cannot find ${what} of ${image}: "sluice trace" and "sluice run --trace" record one`,
      { facts: { name: missing } },
    );
  }
  return profiles.filter((profile) => profile !== undefined);
}

async function readProfile(file: string, names: readonly string[]): Promise<Profile> {
  if (names.length > 1) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot call "${file}" by ${names.length} names: want one --profile`);
  }
  const profile = await readProfileFile(file);
  return { ...profile, name: names[0] ?? profile.name };
}

function resultText(digest: string, attached: readonly OptimizedProfile[]): string {
  const rows = attached.map(({ name, pages, bytes, compressedBytes, share, leftOut }) => [
    name,
    String(pages),
    bytesText(bytes),
    bytesText(compressedBytes),
    `${(share * 100).toFixed(1)} %`,
    leftOut === 0 ? '' : `${leftOut} pages left out`,
  ]);
  return [
    tableText([['profile', 'pages', 'size', 'compressed', 'of the image', ''], ...rows]),
    `\nattached to ${digest}, which is unchanged\n`,
  ].join('');
}
