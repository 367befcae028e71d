import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { reportMissing } from './tools.ts';

/** The tags test/images/build.sh makes. */
const imageNames = ['base', 'python', 'node', 'nginx', 'redis', 'upgrade', 'edge', 'odd'] as const;
type ImageName = (typeof imageNames)[number];

const scripts = fileURLToPath(new URL('../images/', import.meta.url));

/** What build.sh writes beside an image when it is done: a digest of the scripts that made it. */
function currentStamp(): string {
  const helpers = readdirSync(scripts).filter((name) => name.endsWith('.py'));
  const hash = createHash('sha256');
  for (const name of ['build.sh', ...helpers.sort()]) hash.update(readFileSync(path.join(scripts, name)));
  return hash.digest('hex');
}

function isCurrent(root: string, name: ImageName, stamp: string): boolean {
  try {
    return readFileSync(path.join(root, 'stamps', name), 'utf8').trim() === stamp;
  } catch {
    return false;
  }
}

/** The OCI layout of real images and the folder of their uncompressed layer tars. */
export interface RealImages {
  readonly layout: string;
  readonly layers: string;
}

/**
 * The real images, or `undefined`, with the reason printed, when they are missing or older than their scripts.
 * They are built here only when SLUICE_BUILD_IMAGES=1 asks for it: it takes minutes, root and the network.
 */
export function realImages(): RealImages | undefined {
  const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const root = process.env.SLUICE_IMAGES || path.join(cache, 'sluice-images');
  if (process.env.SLUICE_BUILD_IMAGES === '1') execFileSync(path.join(scripts, 'build.sh'), { stdio: 'inherit' });
  const stamp = currentStamp();
  const missing = imageNames.filter((name) => !isCurrent(root, name, stamp));
  if (missing.length === 0) return { layout: path.join(root, 'oci'), layers: path.join(root, 'layers') };
  reportMissing(`the images ${missing.join(', ')} are not built or out of date: run test/images/build.sh`);
  return undefined;
}
