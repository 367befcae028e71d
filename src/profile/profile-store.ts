import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { writeAtomically } from '../atomic-file.ts';
import { FormatError, UsageError } from '../errors.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import { parseProfile, writeProfile } from './document.ts';
import { mergeProfiles } from './merge-profiles.ts';
import { type Profile, profileName } from './profile.ts';

const suffix = '.json';

/** The profiles recorded on this machine: `profiles/ROOT/NAME.json` below the cache. They are few, small, and kept. */
export class ProfileStore {
  readonly #folder: string;

  /** @param cacheDirectory - need not exist yet */
  constructor(cacheDirectory: string) {
    this.#folder = path.join(cacheDirectory, 'profiles');
  }

  /**
   * Keeps a profile. Atomic; of two processes that add to one profile at the same moment, one is not heard.
   * @param how - whether it is merged into the one of its name, which is replaced when it is damaged
   * @returns what is kept now
   */
  async save(profile: Profile, how: 'merge' | 'replace' = 'merge'): Promise<Profile> {
    const file = this.#file(profile.root, profile.name);
    const known = how === 'merge' ? await this.#loadSound(profile) : undefined;
    const kept = known === undefined ? profile : mergeProfiles(known, profile);
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    const temporary = path.join(path.dirname(file), `.${randomBytes(8).toString('hex')}`);
    await writeAtomically(file, temporary, [writeProfile(kept)], 0o600);
    return kept;
  }

  /**
   * @param root - of the image's bootstrap
   * @returns undefined when there is none
   * @throws {FormatError} SLUICE_PROFILE_INVALID
   * @throws {UsageError} SLUICE_OPTION_INVALID for what no profile can be called
   */
  async load(root: Digest, name: string): Promise<Profile | undefined> {
    const bytes = await unlessMissing(readFile(this.#file(root, name)));
    return bytes && parseProfile(bytes);
  }

  /** The names of an image's profiles, in order. */
  async list(root: Digest): Promise<string[]> {
    const files = (await unlessMissing(readdir(path.join(this.#folder, digestHex(root))))) ?? [];
    const names = files.filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length));
    return names.filter((name) => profileName.test(name)).sort();
  }

  /** @returns whether there was one */
  async remove(root: Digest, name: string): Promise<boolean> {
    return (await unlessMissing(rm(this.#file(root, name)).then(() => true))) ?? false;
  }

  async #loadSound({ root, name }: Profile): Promise<Profile | undefined> {
    try {
      return await this.load(root, name);
    } catch (error) {
      if (error instanceof FormatError) return undefined;
      throw error;
    }
  }

  #file(root: Digest, name: string): string {
    return path.join(this.#folder, digestHex(root), `${checkProfileName(name)}${suffix}`);
  }
}

/**
 * @returns `name`
 * @throws {UsageError} SLUICE_OPTION_INVALID
 */
export function checkProfileName(name: string): string {
  if (profileName.test(name)) return name;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot call a profile "${name.slice(0, 100)}": want up to 64 of a-z, 0-9, ".", "_" and "-", not "." first`,
  );
}

async function unlessMissing<Result>(result: Promise<Result>): Promise<Result | undefined> {
  try {
    return await result;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
