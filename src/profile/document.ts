import { type ByteString, byteString, byteStringFromText, bytesOf, displayText } from '../byte-string.ts';
import { FormatError } from '../errors.ts';
import { canonicalJson } from '../oci/canonical-json.ts';
import { parseDigest } from '../oci/digest.ts';
import { arrayAt, type Json, objectAt, parseJsonObject, sizeAt, stringAt } from '../oci/json.ts';
import {
  maximumFiles,
  maximumPages,
  maximumPathBytes,
  maximumReads,
  type Profile,
  type ProfileRead,
  profileName,
} from './profile.ts';

/** Of the document; another one is refused. */
const documentVersion = 1;

/** The last page of which every byte has an offset below 2^53. */
const maximumPage = 2 ** 41 - 1;

/** PATH_MAX of Linux. */
const maximumPathLength = 4096;

/**
 * Reads a profile nobody vouches for. Properties it does not know are ignored.
 *
 * @param bytes - JSON, not compressed: docs/profiles.md; not kept
 * @throws {FormatError} SLUICE_PROFILE_INVALID, also when there is more in it than a profile may have
 */
export function parseProfile(bytes: Uint8Array): Profile {
  try {
    return readProfile(bytes);
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError('SLUICE_PROFILE_INVALID', 'Cannot use profile', { cause });
  }
}

/** Writes a profile: equal profiles are equal bytes. Any profile within the limits can be parsed again. */
export function writeProfile({ name, root, runs, pageExact, files, reads }: Profile): Uint8Array {
  return canonicalJson({
    version: documentVersion,
    name,
    root,
    runs,
    pageExact,
    files: files.map(writePath),
    reads: reads.map(({ file, page, pages }) => [file, page, pages]),
  });
}

function readProfile(bytes: Uint8Array): Profile {
  const document = parseJsonObject(bytes, 'profile');
  if (document.version !== documentVersion) throw invalid(`version ${JSON.stringify(document.version)?.slice(0, 40)}`);
  const name = stringAt(document.name, 'profile: name');
  if (!profileName.test(name)) throw invalid(`the name "${name.slice(0, 100)}"`);
  if (typeof document.pageExact !== 'boolean') throw invalid('pageExact is neither true nor false');
  const files = arrayAt(document.files, 'profile: files', maximumFiles).map(readPath);
  if (files.reduce((sum, file) => sum + file.length, 0) > maximumPathBytes) {
    throw invalid(`more than ${maximumPathBytes} bytes of paths`);
  }
  const reads = arrayAt(document.reads, 'profile: reads', maximumReads).map((read) => readRun(read, files.length));
  if (reads.reduce((sum, { pages }) => sum + pages, 0) > maximumPages) throw invalid(`more than ${maximumPages} pages`);
  return {
    name,
    root: parseDigest(stringAt(document.root, 'profile: root')),
    runs: Math.max(1, sizeAt(document.runs, 'profile: runs')),
    pageExact: document.pageExact,
    files,
    reads,
  };
}

function readRun(value: Json, files: number): ProfileRead {
  const [file, page, pages, ...rest] = arrayAt(value, 'profile: a read', 3);
  const read = {
    file: sizeAt(file, 'profile: the file of a read'),
    page: sizeAt(page, 'profile: the page of a read'),
    pages: sizeAt(pages, 'profile: the pages of a read'),
  };
  if (rest.length === 0 && read.file < files && read.pages > 0 && read.page + read.pages - 1 <= maximumPage)
    return read;
  throw invalid(`there is no read ${JSON.stringify(value).slice(0, 100)}`);
}

/** Paths are text where that says all of it; otherwise, since JSON has no bytes, an object with the bytes in hex. */
function writePath(path: ByteString): Json {
  const text = displayText(path);
  return byteStringFromText(text) === path ? text : { hex: bytesOf(path).toString('hex') };
}

function readPath(value: Json): ByteString {
  const path = typeof value === 'string' ? byteStringFromText(value) : readHex(objectAt(value, 'profile: a file').hex);
  if (path.length <= maximumPathLength && isAbsolute(path)) return path;
  throw invalid(`the path "${displayText(path.slice(0, 100) as ByteString)}"`);
}

function readHex(value: Json | undefined): ByteString {
  const hex = stringAt(value, 'profile: hex of a file');
  if (!/^(?:[0-9a-f]{2})*$/.test(hex)) throw invalid('the hex of a path');
  return byteString(Buffer.from(hex, 'hex'));
}

/** Absolute, and in the one form that leads nowhere else: no empty name, no `.`, no `..`, no NUL. */
function isAbsolute(path: ByteString): boolean {
  const [empty, ...names] = path.split('/');
  return empty === '' && names.every((name) => name !== '' && name !== '.' && name !== '..') && !path.includes('\0');
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_PROFILE_INVALID', `Cannot read profile: ${why}`);
}
