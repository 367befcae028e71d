import { NotFoundError, UsageError } from '../errors.ts';
import type { Descriptor, Platform } from './image.ts';
import type { ImageIndex } from './manifest.ts';

const architectures: Readonly<Record<string, string>> = {
  x64: 'amd64',
  x86_64: 'amd64',
  ia32: '386',
  i386: '386',
  aarch64: 'arm64',
  ppc64: 'ppc64le',
};

/** Variants that are what the bare architecture means. Source: containerd platforms, normalizeArch. */
const defaultVariants: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' };

function variantOf(platform: Platform): string {
  return platform.variant || defaultVariants[platform.architecture] || '';
}

/** Linux on this machine's processor: containers run on Linux, also when asked for from elsewhere. */
export function hostPlatform(): Platform {
  return { os: 'linux', architecture: architectures[process.arch] ?? process.arch };
}

/**
 * Reads `os/architecture[/variant]`.
 * @throws {UsageError} SLUICE_OPTION_INVALID
 */
export function parsePlatform(text: string): Platform {
  const [, os, architecture, variant] = /^([a-z0-9]+)\/([a-z0-9_]+)(?:\/([a-z0-9]+))?$/.exec(text) ?? [];
  if (os === undefined || architecture === undefined) {
    throw new UsageError(
      'SLUICE_OPTION_INVALID',
      `Cannot use platform "${text}": want "linux/amd64" or "linux/arm/v7"`,
    );
  }
  return { os, architecture: architectures[architecture] ?? architecture, ...(variant ? { variant } : {}) };
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
}

function matches(offered: Platform, wanted: Platform): boolean {
  return (
    offered.os === wanted.os &&
    (architectures[offered.architecture] ?? offered.architecture) === wanted.architecture &&
    variantOf(offered) === variantOf(wanted)
  );
}

/**
 * The manifests of `index` that run on `platform`, in the index's order. There may be several: an image and its
 * conversion stand side by side. Entries that name no platform count only when there is no other.
 */
export function platformCandidates(index: ImageIndex, platform: Platform): readonly Descriptor[] {
  const named = index.manifests.filter((entry) => entry.platform && matches(entry.platform, platform));
  if (named.length > 0 || index.manifests.some((entry) => entry.platform)) return named;
  return index.manifests;
}

/**
 * The first manifest of `index` that runs on `platform`.
 * @throws {NotFoundError} SLUICE_PLATFORM_NOT_FOUND, the message lists what there is
 */
export function selectPlatform(index: ImageIndex, platform: Platform = hostPlatform()): Descriptor {
  const [first] = platformCandidates(index, platform);
  if (first === undefined) {
    const offered = index.manifests.map((entry) => (entry.platform ? formatPlatform(entry.platform) : 'unnamed'));
    throw new NotFoundError(
      'SLUICE_PLATFORM_NOT_FOUND',
      `Cannot find platform "${formatPlatform(platform)}" in the image: it has ${offered.slice(0, 20).join(', ') || 'none'}`,
      { facts: { platform: formatPlatform(platform) } },
    );
  }
  return first;
}
