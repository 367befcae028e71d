import { Argument, Command } from 'commander';
import type { CachedBlob, ChunkCache } from '../cache/chunk-cache.ts';
import type { VerifiedDevice } from '../cache/verify-device.ts';
import { IntegrityError, NotFoundError, UsageError } from '../errors.ts';
import type { Platform } from '../oci/image.ts';
import {
  addCacheBoundOptions,
  addCacheDirOption,
  addJsonOption,
  addPlatformOption,
  addRegistryOptions,
  type CacheBoundFlags,
  cacheBounds,
  parseBytes,
  type RegistryFlags,
  registryOptions,
} from './options.ts';
import { bytesText, columnsText, note, printResult } from './output.ts';
import { cancelOnSignals } from './signals.ts';

interface CacheCommandFlags extends CacheBoundFlags, RegistryFlags {
  readonly to?: number;
  readonly all?: boolean;
  readonly platform?: Platform;
  readonly json?: boolean;
}

/** An image in the cache, as far as its kept manifest tells. */
interface KeptImage {
  readonly manifest: string;
  /** 64 hex digits each. */
  readonly blobs: ReadonlySet<string>;
}

const actions = { ls, prune, verify, pin, unpin };
type Action = keyof typeof actions;

const examples = `
Examples:
  sluice cache ls
  sluice cache prune --to 5G
  sluice cache prune --all
  sluice cache verify
  sluice cache pin docker://HOST/app:1-sluice
  sluice cache unpin docker://HOST/app:1-sluice

ls shows which blobs have content here, and prune evicts it, the longest unused first; mounts fetch again what they
need. verify hashes all of it, drops what is wrong, and ends with status 5 when anything was: a mount would have found
out before anybody read it. Nobody evicts what belongs to a pinned image, but pinning fetches nothing. How the cache
works: docs/cache.md.`;

export function cacheCommand(): Command {
  const command = new Command('cache')
    .summary('look after what is kept on this machine')
    .description('Shows, bounds, verifies and pins the content that is kept on this machine.')
    .addArgument(new Argument('<action>', 'what to do').choices(Object.keys(actions)))
    .argument('[image]', 'pin, unpin: which image')
    .option('--to <bytes>', 'prune: how much may be left (default: the cache’s bound)', parseBytes)
    .option('--all', 'prune: leave nothing but what is pinned or in use')
    .addHelpText('after', examples);
  const options = [addCacheDirOption, addCacheBoundOptions, addPlatformOption, addRegistryOptions, addJsonOption];
  for (const add of options) add(command);
  return command.action(run);
}

async function run(action: Action, image: string | undefined, flags: CacheCommandFlags): Promise<void> {
  const wantsImage = action === 'pin' || action === 'unpin';
  if (wantsImage !== (image !== undefined)) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot ${action}: want ${wantsImage ? 'an' : 'no'} image`);
  }
  const { ChunkCache } = await import('../cache/chunk-cache.ts');
  // Whoever only looks must not evict what another bound allows, however long it takes.
  const unbounded = { maximumBytes: Number.MAX_SAFE_INTEGER, minimumFreeBytes: 0 };
  const cache = ChunkCache.open(flags.cacheDir, action === 'verify' ? unbounded : cacheBounds(flags));
  try {
    await actions[action](cache, flags, image ?? '');
  } finally {
    cache.close();
  }
}

async function ls(cache: ChunkCache, { json }: CacheCommandFlags): Promise<void> {
  const images = await keptImages(cache);
  const names = new Map(cache.pins().map(({ manifest, reference }) => [manifest, reference]));
  const devices = cache.list().map((device) => ({ ...device, images: imagesOf(device, images, names) }));
  const state = cache.state();
  printResult(json, { ...state, devices: devices.map(deviceFacts) }, () => {
    const rows = devices
      .sort((a, b) => b.lastUsedMs - a.lastUsedMs)
      .map(({ blob, bytes, lastUsedMs, isOpen, isPinned, images: users }) => [
        blob.slice(0, 12),
        bytesText(bytes),
        new Date(lastUsedMs).toISOString().slice(0, 16).replace('T', ' '),
        [isOpen ? 'open' : '', isPinned ? 'pinned' : ''].filter(Boolean).join(', '),
        users.join(' '),
      ]);
    const table = columnsText([['BLOB', 'SIZE', 'LAST USED (UTC)', '', 'IMAGES'], ...rows], '<><<<');
    const { bytes, maximumBytes, freeBytes, minimumFreeBytes } = state;
    const free = `${bytesText(freeBytes)} free on the disk, of which ${bytesText(minimumFreeBytes)} are left to others`;
    return `${table}\n${bytesText(bytes)} of ${bytesText(maximumBytes)} in use, ${free}\n`;
  });
}

async function prune(cache: ChunkCache, { to, all, json, ...flags }: CacheCommandFlags): Promise<void> {
  if (all === true && to !== undefined) {
    throw new UsageError('SLUICE_OPTION_INVALID', 'Cannot prune: want --to or --all, not both');
  }
  const before = cache.usage();
  const bytes = await cache.prune(all === true ? 0 : (to ?? cacheBounds(flags).maximumBytes));
  const freed = Math.max(0, before - bytes);
  printResult(json, { freed, bytes }, () => `${bytesText(freed)} given back, ${bytesText(bytes)} in use\n`);
}

async function verify(cache: ChunkCache, { json }: CacheCommandFlags): Promise<void> {
  const devices: VerifiedDevice[] = [];
  for await (const device of cache.verify(cancelOnSignals())) {
    devices.push(device);
    if (device.bad > 0) note(`${device.blob.slice(0, 12)}: ${device.bad} of ${device.chunks} chunks were wrong`);
    if (!device.isKnown) note(`${device.blob.slice(0, 12)}: not verified, its chunk map is not here`);
  }
  const sum = (key: 'chunks' | 'bytes' | 'bad'): number => devices.reduce((total, device) => total + device[key], 0);
  const [chunks, bytes, bad] = [sum('chunks'), sum('bytes'), sum('bad')];
  printResult(json, { chunks, bytes, bad, devices }, () => `${chunks} chunks, ${bytesText(bytes)}: ${bad} bad\n`);
  if (bad === 0) return;
  throw new IntegrityError('SLUICE_CHUNK_DIGEST_MISMATCH', `Cannot vouch for the cache: ${bad} chunks were wrong`, {
    facts: { bad, chunks },
  });
}

async function pin(cache: ChunkCache, flags: CacheCommandFlags, text: string): Promise<void> {
  const [{ openImage }, { openSource }, { loadZstd }, { digestHex }] = await Promise.all([
    import('../image/open-image.ts'),
    import('../transport/open.ts'),
    import('../zstd/codec.ts'),
    import('../oci/digest.ts'),
  ]);
  await loadZstd();
  const files = cache.files.hold();
  const source = openSource(text, registryOptions(flags));
  try {
    const image = await openImage(source, { files, platform: flags.platform, signal: cancelOnSignals() });
    const { bootstrap, root, reference, raw } = image;
    const devices = bootstrap.devices.map(({ blob, chunks }) => ({
      blob: digestHex(blob),
      chunks,
      algorithm: bootstrap.digestAlgorithm,
    }));
    const manifest = raw.descriptor.digest;
    await cache.pin({ root: digestHex(root), reference, manifest, devices, files: files.names });
    const bytes = devices.reduce((total, { chunks }) => total + chunks.deviceSize, 0);
    printResult(flags.json, { reference, manifest, bytes }, () => `pinned ${reference}, ${bytesText(bytes)}\n`);
  } finally {
    files.release();
    await source.close();
  }
}

/** Needs no network: a pin says what it was called. */
async function unpin(cache: ChunkCache, { json }: CacheCommandFlags, text: string): Promise<void> {
  const { openSource } = await import('../transport/open.ts');
  const source = openSource(text, {});
  const { reference } = source;
  await source.close();
  const digest = /@(sha256:[0-9a-f]{64})$/.exec(text)?.[1];
  const pins = cache.pins().filter((known) => known.reference === reference || known.manifest === digest);
  if (pins.length === 0) throw new NotFoundError('SLUICE_IMAGE_NOT_FOUND', `Cannot unpin "${text}": it is not pinned`);
  for (const { root } of pins) cache.unpin(root);
  printResult(json, { unpinned: pins.map(({ manifest }) => manifest) }, () => `unpinned ${reference}\n`);
}

async function keptImages({ files }: ChunkCache): Promise<KeptImage[]> {
  const [{ parseManifest }, { describeBytes }, { mediaType }, { digestHex }] = await Promise.all([
    import('../oci/manifest.ts'),
    import('../oci/canonical-json.ts'),
    import('../oci/media-types.ts'),
    import('../oci/digest.ts'),
  ]);
  const images: KeptImage[] = [];
  for (const hex of files.list('manifest')) {
    const bytes = await files.peek('manifest', hex);
    if (bytes === undefined) continue;
    try {
      const { layers } = parseManifest({ descriptor: describeBytes(mediaType.ociManifest, bytes), bytes });
      images.push({ manifest: `sha256:${hex}`, blobs: new Set(layers.map(({ digest }) => digestHex(digest))) });
    } catch {
      // An index, or of a later version: it names no blobs.
    }
  }
  return images;
}

/** Names of the images that use a device: a pin has one, of all others the manifest's digest is known. */
function imagesOf({ blob }: CachedBlob, images: readonly KeptImage[], names: ReadonlyMap<string, string>): string[] {
  const users = images.filter(({ blobs }) => blobs.has(blob));
  return users.map(({ manifest }) => names.get(manifest) ?? manifest.slice(0, 19));
}

function deviceFacts({ lastUsedMs, ...device }: CachedBlob): Record<string, unknown> {
  return { ...device, lastUsed: new Date(lastUsedMs).toISOString() };
}
