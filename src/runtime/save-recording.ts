import type { ServedImage } from '../mount/serve-image.ts';
import type { ProfileStore } from '../profile/profile-store.ts';
import { recordProfile } from '../profile/record-profile.ts';

/**
 * Ends the recording of a mount and adds it to a profile, unless somebody else has ended it.
 * @param onFailure - told, in words, what of it is not as it should be
 */
export async function saveRecording(
  { trace, content }: ServedImage,
  { store, name }: { readonly store: ProfileStore; readonly name: string },
  onFailure: (message: string) => void,
): Promise<void> {
  if (trace?.isActive !== true) return;
  const { reads, lost, pageExact } = trace.stop();
  if (lost > 0) onFailure(`${lost} reads were too many, and are not in profile "${name}"`);
  if (!pageExact) onFailure(`some pages are in profile "${name}" because the kernel read ahead`);
  await store.save(recordProfile({ name, root: content.image.root, pageExact }, content.image.bootstrap, reads));
}
