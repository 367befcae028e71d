import { FormatError } from '../errors.ts';

/** `sha256:` and 64 lower-case hex digits. Source: OCI image-spec 1.1, descriptor.md, Digests. */
export type Digest = `sha256:${string}` & { readonly Digest: unique symbol };

const pattern = /^sha256:[0-9a-f]{64}$/;

/**
 * @throws {FormatError} SLUICE_MANIFEST_INVALID when `text` is no sha256 digest
 */
export function parseDigest(text: string): Digest {
  if (!pattern.test(text)) {
    throw new FormatError(
      'SLUICE_MANIFEST_INVALID',
      `Cannot use digest "${text.slice(0, 100)}": want sha256 and 64 hex digits`,
    );
  }
  return text as Digest;
}

/** The digits alone: a file name, an EROFS device tag. */
export function digestHex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** @param bytes - 32 bytes, not kept */
export function digestFromBytes(bytes: Uint8Array): Digest {
  return `sha256:${Buffer.from(bytes).toString('hex')}` as Digest;
}
