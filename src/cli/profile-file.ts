import { readFile } from 'node:fs/promises';
import { UsageError } from '../errors.ts';
import type { Profile } from '../profile/profile.ts';

/**
 * Reads the profile in a file that the command line names.
 *
 * @throws {UsageError} SLUICE_OPTION_INVALID when it can't be read
 * @throws {FormatError} SLUICE_PROFILE_INVALID
 */
export async function readProfileFile(file: string): Promise<Profile> {
  const { parseProfile } = await import('../profile/document.ts');
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot read profile "${file}"`, { cause });
  }
  return parseProfile(bytes);
}
