import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { ByteString } from '../../src/byte-string.ts';
import { checksumOf } from '../../src/tar/numbers.ts';
import { type TarEntry, TarParser } from '../../src/tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/tar/writer.ts';
import { run } from '../support/process.ts';

/** An entry and the bytes the tar stores for it. */
export interface Member {
  readonly entry: TarEntry;
  readonly content: Buffer;
}

export const bytes = (text: string): ByteString => text as ByteString;

/** Parses an archive pushed in pieces of `step` bytes. */
export function parseTar(archive: Uint8Array, step = archive.length || 1): Member[] {
  const members: Member[] = [];
  let current: { entry: TarEntry; parts: Buffer[] } | undefined;
  const parser = new TarParser({
    entry(entry) {
      if (current !== undefined) throw new Error('entry() before endEntry()');
      current = { entry, parts: [] };
    },
    data(data) {
      current?.parts.push(Buffer.from(data));
    },
    endEntry() {
      if (current === undefined) throw new Error('endEntry() without entry()');
      members.push({ entry: current.entry, content: Buffer.concat(current.parts) });
      current = undefined;
    },
  });
  for (let at = 0; at < archive.length; at += step) parser.push(archive.subarray(at, at + step));
  parser.end();
  if (current !== undefined) throw new Error('no endEntry()');
  return members;
}

export function writeTar(members: readonly Member[]): Buffer {
  const parts = members.flatMap(({ entry, content }) => [tarHeader(entry), content, tarPadding(content.length)]);
  return Buffer.concat([...parts, tarEnd]);
}

export function tarEntry(path: string, type: TarEntry['type'], more: Partial<TarEntry> = {}): TarEntry {
  return {
    path: bytes(path),
    linkTarget: bytes(''),
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 1_700_000_000,
    mtimeNs: 0,
    major: 0,
    minor: 0,
    xattrs: new Map(),
    sparse: undefined,
    ...more,
  };
}

/** Puts `text` into a header block at an offset and makes the checksum right again. */
export function patched(header: Uint8Array, ...patches: readonly [offset: number, text: string][]): Buffer {
  const block = Buffer.from(header);
  for (const [offset, text] of patches) block.write(text, offset, 'latin1');
  const last = block.subarray(block.length - 512);
  last.write(`${checksumOf(last).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** An extended header of any type: `x`, `g`, `L`, `K`. */
export function extension(flag: string, content: string): Buffer {
  const header = patched(tarHeader(tarEntry('extended', 'file', { size: content.length })), [156, flag]);
  return Buffer.concat([header, Buffer.from(content, 'latin1'), tarPadding(content.length)]);
}

/** A PAX header with these records. */
export function pax(records: readonly (readonly [string, string])[], flag = 'x'): Buffer {
  const text = records.map(([keyword, value]) => {
    const rest = keyword.length + value.length + 3;
    let length = rest + 1;
    while (rest + `${length}`.length !== length) length++;
    return `${length} ${keyword}=${value}\n`;
  });
  return extension(flag, text.join(''));
}

/** What `list.py` prints for a member, from our own parse. */
export function listing(members: readonly Member[]): unknown[] {
  const hex = (value: ByteString): string => Buffer.from(value, 'latin1').toString('hex');
  return members.map(({ entry, content }) => ({
    path: hex(entry.path.replace(/\/+$/, '') as ByteString),
    target: hex(entry.linkTarget),
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size: entry.size,
    mtime: [entry.mtime, entry.mtimeNs],
    device: [entry.major, entry.minor],
    xattrs: [...entry.xattrs].map(([name, value]) => [name, Buffer.from(value).toString('hex')]).sort(),
    sparse: entry.sparse?.map(({ offset, length }) => [offset, length]) ?? null,
    sha256: createHash('sha256').update(content).digest('hex'),
  }));
}

/** The same from Python's tarfile. */
export async function pythonListing(archive: string): Promise<unknown[]> {
  const script = fileURLToPath(new URL('list.py', import.meta.url));
  const output = await run('python3', [script, archive]);
  return output.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
}
