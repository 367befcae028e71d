import { digestCode, digestFromCode } from '../chunk/digest-code.ts';
import { PAGE_SIZE } from '../chunk/parameters.ts';
import type { DigestAlgorithm } from '../digest/hash.ts';
import { FormatError } from '../errors.ts';
import {
  BOOTSTRAP_MAGIC,
  BOOTSTRAP_VERSION,
  footerFields,
  KNOWN_INCOMPAT_FEATURES,
  type Section,
  type SectionName,
  type Sections,
} from './format.ts';

export interface Footer {
  /** Of the chunks' digests. */
  readonly algorithm: DigestAlgorithm;
  readonly sections: Sections;
}

/** @returns one block */
export function writeFooter({ algorithm, sections }: Footer): Uint8Array {
  const footer = Buffer.alloc(PAGE_SIZE);
  footer.write(BOOTSTRAP_MAGIC, footerFields.magic, 'latin1');
  footer.writeUInt32LE(BOOTSTRAP_VERSION, footerFields.version);
  footer.writeUInt8(digestCode(algorithm), footerFields.digestAlgorithm);
  for (const [name, section] of Object.entries(sections) as [SectionName, Section][]) {
    footer.writeBigUInt64LE(BigInt(section.offset), footerFields[`${name}Offset`]);
    footer.writeBigUInt64LE(BigInt(section.length), footerFields[`${name}Length`]);
  }
  return footer;
}

/**
 * Decodes the last block of a bootstrap.
 *
 * @param bytes - the whole bootstrap, not kept
 * @throws {FormatError} SLUICE_BOOTSTRAP_INVALID when it is no bootstrap or a section lies outside of it
 * @throws {FormatError} SLUICE_BOOTSTRAP_UNSUPPORTED when only a newer version can read it
 */
export function parseFooter(bytes: Uint8Array): Footer {
  if (bytes.length < 2 * PAGE_SIZE || bytes.length % PAGE_SIZE !== 0) throw invalid(`it has ${bytes.length} bytes`);
  const start = bytes.length - PAGE_SIZE;
  const footer = Buffer.from(bytes.buffer, bytes.byteOffset + start, PAGE_SIZE);
  if (footer.toString('latin1', 0, BOOTSTRAP_MAGIC.length) !== BOOTSTRAP_MAGIC) {
    throw invalid('its last block has no magic number');
  }
  checkSupported(footer, start);
  const code = footer.readUInt8(footerFields.digestAlgorithm);
  const algorithm = digestFromCode(code);
  if (algorithm === undefined) {
    throw unsupported(`unknown digest algorithm ${code} at offset ${start + footerFields.digestAlgorithm}`);
  }
  const section = (name: SectionName): Section => readSection(footer, start, name);
  const sections = {
    erofs: section('erofs'),
    devices: section('devices'),
    chunkMaps: section('chunkMaps'),
  };
  if (sections.erofs.offset !== 0) throw invalid(`its EROFS image begins at ${sections.erofs.offset}`);
  return { algorithm, sections };
}

function checkSupported(footer: Buffer, start: number): void {
  const version = footer.readUInt32LE(footerFields.version);
  if (version !== BOOTSTRAP_VERSION) {
    throw unsupported(`format version ${version}, want ${BOOTSTRAP_VERSION}; convert the image again`);
  }
  const unknown = footer.readUInt32LE(footerFields.incompatFeatures) & ~KNOWN_INCOMPAT_FEATURES;
  if (unknown !== 0) {
    const offset = start + footerFields.incompatFeatures;
    throw unsupported(`unknown incompat feature 0x${(unknown >>> 0).toString(16)} at offset ${offset}`);
  }
}

function readSection(footer: Buffer, end: number, name: SectionName): Section {
  const offset = Number(footer.readBigUInt64LE(footerFields[`${name}Offset`]));
  const length = Number(footer.readBigUInt64LE(footerFields[`${name}Length`]));
  // Numbers above 2^53 lose bits but stay large: they are refused here all the same.
  if (offset + length > end) throw invalid(`section "${name}" lies outside of it`);
  return { offset, length };
}

function invalid(why: string): FormatError {
  return new FormatError('SLUICE_BOOTSTRAP_INVALID', `Cannot read bootstrap: ${why}`);
}

function unsupported(why: string): FormatError {
  return new FormatError('SLUICE_BOOTSTRAP_UNSUPPORTED', `Cannot read bootstrap: ${why}`);
}
