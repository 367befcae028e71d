import { type ByteString, byteString } from '../byte-string.ts';
import type { ElfTarget } from './elf.ts';

/**
 * Layout: glibc, sysdeps/generic/dl-cache.h, struct cache_file_new and file_entry_new, little-endian. All offsets are
 * bytes; strings lie behind the entries, and are named by their offset in the file.
 */
const MAGIC = 'glibc-ld.so.cache1.1';
const HEADER_SIZE = 48;
const countField = 20;
const ENTRY_SIZE = 24;
const entryFields = { flags: 0, key: 4, value: 8, hwcap: 16 } as const;

/** Stops a table as long as the largest file that is read. Debian with a desktop has 3,000 entries. */
const MAXIMUM_ENTRIES = 65_536;

/** A name that is longer is none: PATH_MAX of Linux. */
const MAXIMUM_STRING = 4096;

/** Source: dl-cache.h, FLAG_*: which kind of library an entry is of; by class and EM_*. */
const KIND_MASK = 0xff00;
const kinds: Readonly<Record<string, number>> = {
  '64/62': 0x0300,
  '32/62': 0x0800,
  '32/3': 0x0000,
  '64/183': 0x0a00,
};

/**
 * Reads /etc/ld.so.cache: where libraries are that no object names a path for.
 *
 * Libraries for special processors (hwcap) are left out: which one is taken depends on the machine.
 * @param bytes - not kept
 * @param target - others' libraries are left out, where their kind is known
 * @returns paths by name; empty for any other file
 */
export function parseLibraryCache(bytes: Uint8Array, target: ElfTarget): Map<ByteString, ByteString> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = new Map<ByteString, ByteString>();
  if (buffer.length < HEADER_SIZE || buffer.toString('latin1', 0, MAGIC.length) !== MAGIC) return found;
  const kind = kinds[`${target.is64 ? 64 : 32}/${target.machine}`];
  const count = Math.min(
    buffer.readUInt32LE(countField),
    MAXIMUM_ENTRIES,
    Math.floor((buffer.length - HEADER_SIZE) / ENTRY_SIZE),
  );
  for (let i = 0; i < count; i++) {
    const at = HEADER_SIZE + i * ENTRY_SIZE;
    const isOther = kind !== undefined && (buffer.readUInt32LE(at + entryFields.flags) & KIND_MASK) !== kind;
    if (isOther || buffer.readBigUInt64LE(at + entryFields.hwcap) !== 0n) continue;
    const name = stringAt(buffer, buffer.readUInt32LE(at + entryFields.key));
    const path = stringAt(buffer, buffer.readUInt32LE(at + entryFields.value));
    if (name !== undefined && path !== undefined && !found.has(name)) found.set(name, path);
  }
  return found;
}

function stringAt(buffer: Buffer, offset: number): ByteString | undefined {
  const end = buffer.subarray(offset, offset + MAXIMUM_STRING).indexOf(0);
  return end > 0 ? byteString(buffer.subarray(offset, offset + end)) : undefined;
}
