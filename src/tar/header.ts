import { type ByteString, byteString } from '../byte-string.ts';
import {
  blockSize,
  type Field,
  field,
  gnuField,
  gnuMagic,
  starField,
  starTrailer,
  typeflag,
  ustarMagic,
} from './format.ts';
import { invalidTar } from './limits.ts';
import { checksumMatches, readNumber } from './numbers.ts';
import { type OldSparse, readOldSparse } from './sparse.ts';

/** One header block, decoded; what PAX and GNU extensions say is not in it yet. Keeps no view of the block. */
export interface Header {
  readonly typeflag: number;
  readonly name: ByteString;
  readonly linkName: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content that follow, unless the type has none. */
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
  /** Present for type `S`, old GNU tar's sparse file. */
  readonly oldSparse: OldSparse | undefined;
}

const zeroBlock = Buffer.alloc(blockSize);

export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(zeroBlock);
}

type Dialect = 'v7' | 'ustar' | 'star' | 'gnu';

/**
 * Decodes one header block of any dialect.
 * @param block - 512 bytes, not kept
 * @throws {FormatError} SLUICE_TAR_INVALID when the checksum or a number is wrong
 */
export function readHeader(block: Buffer): Header {
  if (!checksumMatches(block)) throw invalidTar('a header has the wrong checksum');
  const dialect = dialectOf(block);
  const type = block[field.typeflag.offset] ?? 0;
  const isDevice = type === typeflag.char || type === typeflag.block;
  const size = readNumber(block, field.size, 'size');
  if (size < 0) throw invalidTar(`size is ${size}`);
  return {
    typeflag: type,
    name: readName(block, dialect),
    linkName: readText(block, field.linkName),
    mode: readNumber(block, field.mode, 'mode'),
    uid: readNumber(block, field.uid, 'uid'),
    gid: readNumber(block, field.gid, 'gid'),
    size,
    mtime: readNumber(block, field.mtime, 'mtime'),
    major: isDevice && dialect !== 'v7' ? readNumber(block, field.major, 'device major') : 0,
    minor: isDevice && dialect !== 'v7' ? readNumber(block, field.minor, 'device minor') : 0,
    oldSparse: type === typeflag.gnuSparse ? oldSparse(block, dialect) : undefined,
  };
}

function dialectOf(block: Buffer): Dialect {
  const magic = readBytes(block, field.magic);
  if (magic === gnuMagic) return 'gnu';
  if (!magic.startsWith(ustarMagic)) return 'v7';
  return readBytes(block, starField.trailer) === starTrailer ? 'star' : 'ustar';
}

function readBytes(block: Buffer, { offset, length }: Field): string {
  return block.toString('latin1', offset, offset + length);
}

function readText(block: Buffer, { offset, length }: Field): ByteString {
  const nul = block.indexOf(0, offset);
  const end = nul < 0 ? offset + length : Math.min(nul, offset + length);
  return byteString(block.subarray(offset, end));
}

function readName(block: Buffer, dialect: Dialect): ByteString {
  const name = readText(block, field.name);
  const prefix = readPrefix(block, dialect);
  return prefix === '' ? name : (`${prefix}/${name}` as ByteString);
}

function readPrefix(block: Buffer, dialect: Dialect): string {
  if (dialect === 'v7') return '';
  if (dialect === 'ustar') return readText(block, field.prefix);
  if (dialect === 'star') return readText(block, starField.prefix);
  // Writers built with Go before 1.8 put a prefix over GNU's times (golang.org/issue/12594): text there is a prefix.
  const isTime = /^[ 0-7]*$|^[\x80-\xff]/.test(readText(block, gnuField.atime));
  const prefix = isTime ? '' : readText(block, field.prefix);
  return /^[ -~]*$/.test(prefix) ? prefix : '';
}

function oldSparse(block: Buffer, dialect: Dialect): OldSparse {
  // Star has a type S of another layout; Go refuses it too.
  if (dialect !== 'gnu') throw invalidTar('a sparse file of type S has no GNU header');
  return readOldSparse(block);
}
