import type { ByteString } from '../byte-string.ts';

/** An xattr name the way EROFS stores it: a known prefix by number, and what follows it. */
export interface XattrName {
  readonly index: number;
  readonly suffix: string;
}

/**
 * EROFS_XATTR_INDEX_*. The two ACLs are whole names and come first; 5 was Lustre's and is not used.
 * Index 0 is none of the kernel's: it carries every other namespace (`system.nfs4_acl`) as a whole name. Linux skips
 * such entries, so a mount does not show what it could not have set, and the tree comes back complete all the same.
 */
const prefixes: readonly (readonly [prefix: string, index: number])[] = [
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['user.', 1],
  ['trusted.', 4],
  ['security.', 6],
];
const prefixOf = new Map([...prefixes.map(([prefix, index]) => [index, prefix] as const), [0, ''] as const]);
const wholeNames = new Set([2, 3]);

export function splitXattrName(name: ByteString): XattrName {
  for (const [prefix, index] of prefixes) {
    const matches = wholeNames.has(index) ? name === prefix : name.startsWith(prefix) && name.length > prefix.length;
    if (matches) return { index, suffix: name.slice(prefix.length) };
  }
  return { index: 0, suffix: name };
}

/** The full name, or `undefined` for an index no namespace has. */
export function joinXattrName({ index, suffix }: XattrName): ByteString | undefined {
  const prefix = prefixOf.get(index);
  return prefix === undefined ? undefined : ((prefix + suffix) as ByteString);
}
