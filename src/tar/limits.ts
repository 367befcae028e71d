import { FormatError } from '../errors.ts';

/** Stops a header that claims gigabytes of PAX records from being collected in memory. GNU tar's sparse maps 0.1 need the most. */
export const maxPaxBytes = 4 << 20;
/** Stops names that cost more to carry around than any file system could use; Linux's PATH_MAX is 4096. */
export const maxPathBytes = 65_535;
/** Stops one entry from carrying a map of millions of runs, each an object here and in every later stage. */
export const maxSparseRuns = 1 << 20;
/** Stops one entry from carrying hundreds of thousands of tiny attributes. */
export const maxXattrs = 1024;
/** XATTR_NAME_MAX and XATTR_SIZE_MAX of Linux (include/uapi/linux/limits.h): what no kernel could serve again. */
export const maxXattrNameBytes = 255;
export const maxXattrValueBytes = 65_536;

/** A tar that breaks its own rules. */
export function invalidTar(why: string): FormatError {
  return new FormatError('SLUICE_TAR_INVALID', `Cannot read tar: ${why}`);
}

/** A tar that may be well-formed, and asks for more than anybody should give. */
export function overLimit(what: string, actual: number, limit: number): FormatError {
  const message = `Cannot read tar: ${what} is ${actual}, the limit is ${limit}`;
  return new FormatError('SLUICE_TAR_LIMIT', message, { facts: { actual, limit } });
}
