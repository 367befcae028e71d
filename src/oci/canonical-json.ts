import { hash } from '../digest/hash.ts';
import { digestFromBytes } from './digest.ts';
import type { Descriptor, RawManifest } from './image.ts';

/** Object keys in order of their UTF-16 units, at every depth. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, element]) => [key, sorted(element)]));
}

/**
 * The one way sluice writes a value as JSON, so that equal documents have equal digests: sorted keys, no space,
 * no properties that are `undefined`, UTF-8. Source: OCI image-spec 1.1, considerations.md, Canonicalization.
 */
export function canonicalJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(sorted(value)), 'utf8');
}

/** @param bytes - hashed, not kept */
export function describeBytes(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestFromBytes(hash('sha256', bytes)), size: bytes.byteLength };
}

/** Writes a manifest or index; `document` should carry the same `mediaType` inside. */
export function writeManifest(mediaType: string, document: object): RawManifest {
  const bytes = canonicalJson({ schemaVersion: 2, mediaType, ...document });
  return { descriptor: describeBytes(mediaType, bytes), bytes };
}
