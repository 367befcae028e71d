import { FormatError } from '../errors.ts';

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/**
 * Longest JSON document read. Registries cap manifests at 4 MiB too; without a cap one answer without end fills memory.
 * Source: OCI distribution-spec 1.1, "Pushing Manifests".
 */
export const maximumJsonBytes = 4 * 1024 * 1024;

/** Deepest nesting read. `[[[[…` costs its sender a byte a level, and everything that walks the value a stack frame. */
const maximumDepth = 64;

/** Most entries of an object of annotations or labels; each costs its sender 6 bytes and us a hundred. */
const maximumStrings = 10_000;

const utf8 = new TextDecoder('utf-8', { fatal: true });

function invalid(what: string, why: string, cause?: unknown): FormatError {
  return new FormatError('SLUICE_MANIFEST_INVALID', `Cannot read ${what}: ${why}`, { cause });
}

/** Index of the quote that ends the string which starts at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (end < text.length && text.charCodeAt(end) !== 0x22) end += text.charCodeAt(end) === 0x5c ? 2 : 1;
  return end;
}

/** Counts brackets outside of strings; the parser itself rejects what does not balance. */
function exceedsDepth(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x5b || code === 0x7b) depth++;
    else if (code === 0x5d || code === 0x7d) depth--;
    if (depth > maximumDepth) return true;
  }
  return false;
}

/**
 * Parses one JSON object nobody vouches for.
 *
 * @param what - for messages: `manifest sha256:…`
 * @throws {FormatError} SLUICE_MANIFEST_INVALID when it is too long, too deep, not UTF-8, not JSON or no object
 */
export function parseJsonObject(bytes: Uint8Array, what: string): JsonObject {
  if (bytes.byteLength > maximumJsonBytes) {
    throw invalid(what, `${bytes.byteLength} bytes, more than ${maximumJsonBytes}`);
  }
  let value: Json;
  try {
    const text = utf8.decode(bytes);
    if (exceedsDepth(text)) throw invalid(what, `nested deeper than ${maximumDepth}`);
    value = JSON.parse(text) as Json;
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw invalid(what, 'no JSON in UTF-8', error);
  }
  return objectAt(value, what);
}

/** The functions below take a value out of a document; `where` names its place in messages. An absent value is `undefined`. */
export function objectAt(value: Json | undefined, where: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(where, 'want an object');
  return value as JsonObject;
}

/** @param maximum - most elements; a longer list is refused. JSON `null` is an empty list: Go writes nil slices so. */
export function arrayAt(value: Json | undefined, where: string, maximum: number): readonly Json[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(where, 'want a list');
  if (value.length > maximum) throw invalid(where, `${value.length} entries, more than ${maximum}`);
  return value;
}

export function stringAt(value: Json | undefined, where: string): string {
  if (typeof value !== 'string') throw invalid(where, 'want a string');
  return value;
}

export function optionalStringAt(value: Json | undefined, where: string): string | undefined {
  return value === undefined || value === null ? undefined : stringAt(value, where);
}

/** A whole number from 0 to 2^53. */
export function sizeAt(value: Json | undefined, where: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw invalid(where, 'want a size');
  return value;
}

export function stringsAt(value: Json | undefined, where: string): readonly string[] {
  return arrayAt(value, where, maximumStrings).map((element) => stringAt(element, where));
}

/** An object of strings, such as annotations: a copy with no prototype surprises (`__proto__` is a key like others). */
export function stringMapAt(value: Json | undefined, where: string): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  const entries = Object.entries(objectAt(value, where));
  if (entries.length > maximumStrings) throw invalid(where, `${entries.length} entries, more than ${maximumStrings}`);
  return Object.fromEntries(entries.map(([key, text]) => [key, stringAt(text, `${where} "${key.slice(0, 100)}"`)]));
}
