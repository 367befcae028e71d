import { readFileSync } from 'node:fs';

/** A run of a file's bytes. What no run covers is a hole. Offsets and lengths are multiples of 4096 but at the end. */
export interface TestRun {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** One name of a tree; parents come before what they hold. Strings that may hold any byte have one unit a byte. */
export interface TestEntry {
  /** Without a leading slash; empty for the root. */
  readonly path: string;
  /** Whole `st_mode`. */
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since the epoch and nanoseconds. */
  readonly mtime?: number;
  readonly mtimeNs?: number;
  /** Linux's 32-bit encoding. */
  readonly rdev?: number;
  /** Where the data ends, unless this says otherwise. */
  readonly size?: number;
  readonly data?: readonly TestRun[];
  readonly target?: string;
  readonly xattrs?: Readonly<Record<string, Uint8Array>>;
  /** Another name of the inode that has this path; nothing else counts then. */
  readonly linkTo?: string;
  /** A read waits for whoever runs the test to answer it; memory file system only. */
  readonly pending?: boolean;
}

const directory = 0o040000;
const regular = 0o100000;

/** How many entries `many` has. */
export const manyCount = 100_000;

/** Bytes that differ from page to page and from file to file. */
export function patternBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export const gibibyte = 2 ** 30;

/**
 * `user:1000:r--` on top of rw-r-----. Source: include/uapi/linux/posix_acl_xattr.h, version 2, entries of
 * tag (1 owner, 2 user, 4 group, 16 mask, 32 other), permissions and ID.
 */
function accessList(): Buffer {
  const entries = [
    [1, 6, -1],
    [2, 4, 1000],
    [4, 4, -1],
    [16, 4, -1],
    [32, 0, -1],
  ] as const;
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, permissions, id], index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(permissions, 6 + index * 8);
    bytes.writeInt32LE(id, 8 + index * 8);
  });
  return bytes;
}

const file = (path: string, content: string | Uint8Array, rest: Partial<TestEntry> = {}): TestEntry => {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const data = bytes.length === 0 ? [] : [{ offset: 0, bytes }];
  return { path, mode: regular | 0o644, data, ...rest };
};

/**
 * The tree the conformance suite expects of a mounted file system: something of everything stat(2), getdents(2),
 * read(2), getxattr(2) and execve(2) can be asked.
 */
export function conformanceTree(): TestEntry[] {
  const many = Array.from({ length: manyCount }, (_, index) => file(`many/entry-${index}`, '', { mtime: index }));
  return [
    { path: '', mode: directory | 0o755, mtime: 1_600_000_000 },
    file('file', 'hello\n', { uid: 1000, gid: 100_000, mtime: 1_700_000_000, mtimeNs: 123_456_789 }),
    { path: 'hard', mode: regular | 0o644, linkTo: 'file' },
    file('empty', ''),
    file('old', 'before 1970', { mtime: -86_400, mtimeNs: 500_000_000 }),
    file('far', 'after 2106', { mtime: 2 ** 33 }),
    file('owned', 'x', { uid: 0xfffffffe, gid: 0xfffffffe }),
    file('setuid', 'x', { mode: regular | 0o6755 }),
    file('odd', patternBytes(3 * 1024 * 1024 + 17, 1)),
    { path: 'sparse', mode: regular | 0o600, size: 6 * gibibyte, data: sparseRuns() },
    file('program', readFileSync('/bin/echo'), { mode: regular | 0o755 }),
    { path: 'link', mode: 0o120777, target: 'file' },
    { path: 'dangling', mode: 0o120777, target: `${'x/'.repeat(2000)}\xff` },
    { path: 'fifo', mode: 0o010644 },
    { path: 'null', mode: 0o020666, rdev: (1 << 8) | 3 },
    { path: 'block', mode: 0o060600, rdev: (8 << 8) | 1 | (0x123 << 20) },
    { path: 'sticky', mode: directory | 0o1777 },
    { path: 'private', mode: directory | 0o700 },
    file('private/secret', 'secret'),
    file('guarded', 'by an access list', {
      mode: regular | 0o640,
      xattrs: { 'system.posix_acl_access': accessList() },
    }),
    file('xattrs', '', {
      xattrs: {
        'user.name': Buffer.from('value'),
        'user.binary': Buffer.from([0, 255, 0, 128]),
        'user.long': patternBytes(2000, 2),
        'trusted.hidden': Buffer.from('from users'),
      },
    }),
    file('n'.repeat(255), 'longest name'),
    file('\xff\xfe\x80 \n\\', 'no UTF-8'),
    { path: 'deep', mode: directory | 0o755 },
    { path: 'deep/a', mode: directory | 0o755 },
    { path: 'deep/a/b', mode: directory | 0o755 },
    file('deep/a/b/c', 'deep'),
    { path: 'many', mode: directory | 0o755 },
    ...many,
  ];
}

/** Data, hole, data beyond 4 GiB, hole. */
export function sparseRuns(): TestRun[] {
  return [
    { offset: 0, bytes: patternBytes(8192, 3) },
    { offset: 5 * gibibyte, bytes: patternBytes(4096, 4) },
  ];
}
