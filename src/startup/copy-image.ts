import { resolveManifest } from '../image/resolve.ts';
import type { ImageSource, ImageTarget } from '../oci/image.ts';
import { parseManifest } from '../oci/manifest.ts';

/**
 * Copies the image for this machine's platform as it is; what the target has already is not sent.
 * @returns bytes of its layers
 */
export async function copyImage(source: ImageSource, target: ImageTarget, signal: AbortSignal): Promise<number> {
  const raw = await resolveManifest(source, undefined, () => true, signal);
  const { config, layers } = parseManifest(raw);
  for (const blob of [config, ...layers]) {
    await target.putBlob(blob, () => source.readBlob(blob, undefined, signal), signal);
  }
  await target.putManifest(raw, true, signal);
  return layers.reduce((sum, { size }) => sum + size, 0);
}
