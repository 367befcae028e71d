import { type ByteString, byteString } from '../byte-string.ts';
import { invalidTar } from './limits.ts';

/** Keyword to value, the last of several winning. Values are bytes: PAX says UTF-8, and writers do not keep to it. */
export type PaxRecords = ReadonlyMap<string, ByteString>;

const textKeywords = new Set(['path', 'linkpath', 'uname', 'gname']);

/**
 * Splits the content of an extended header into records, `LENGTH KEYWORD=VALUE\n` each. The pairs of GNU sparse 0.0,
 * which break PAX's rule that a keyword stands once, are joined into the `GNU.sparse.map` of 0.1.
 *
 * Source: POSIX.1-2017 pax, pax Header Block; strictness is that of Go's archive/tar.
 * @param content - not kept
 * @throws {FormatError} SLUICE_TAR_INVALID
 */
export function parsePax(content: Buffer): PaxRecords {
  const text = byteString(content);
  const records = new Map<string, ByteString>();
  const sparse: string[] = [];
  for (let at = 0; at < text.length; ) {
    const { keyword, value, end } = parseRecord(text, at);
    if (keyword === 'GNU.sparse.offset' || keyword === 'GNU.sparse.numbytes') {
      const isOffset = keyword === 'GNU.sparse.offset';
      if (isOffset !== (sparse.length % 2 === 0)) throw invalidTar('sparse offsets and lengths do not alternate');
      sparse.push(value);
    } else {
      records.set(keyword, value);
    }
    at = end;
  }
  if (sparse.length > 0) records.set('GNU.sparse.map', sparse.join(',') as ByteString);
  return records;
}

function parseRecord(text: ByteString, at: number): { keyword: string; value: ByteString; end: number } {
  const space = text.indexOf(' ', at);
  const equals = text.indexOf('=', space);
  const digits = space < 0 ? '' : text.slice(at, space);
  const end = /^\d+$/.test(digits) ? at + Number(digits) : Number.NaN;
  const isSound = space < equals && equals < end - 1 && end <= text.length && text[end - 1] === '\n';
  if (!isSound) throw invalidTar('a PAX record is malformed');
  const keyword = text.slice(space + 1, equals);
  const value = text.slice(equals + 1, end - 1) as ByteString;
  if ((textKeywords.has(keyword) ? value : keyword).includes('\0')) throw invalidTar('a PAX record holds a NUL');
  return { keyword, value, end };
}
