import type { ByteString } from '../../src/byte-string.ts';
import type { Operations, Outcome } from '../../src/fuse/operations.ts';
import type { Reply } from '../../src/fuse/reply.ts';
import type { TestEntry } from './conformance-tree.ts';

/** The requests {@link MemoryFileSystem} counts, by their place in its counters. */
export const counted: readonly string[];

/** What it says about a read it leaves pending. */
export interface PendingRead {
  readonly nodeid: number;
  readonly offset: number;
  readonly length: number;
  readonly unique: number;
}

export interface MemoryFileSystemHooks {
  readonly counters?: Int32Array;
  readonly onPending?: (read: PendingRead) => void;
  readonly onInterrupt?: (unique: number) => void;
}

/** A file system in memory, made of test entries. */
export class MemoryFileSystem implements Operations {
  constructor(entries: readonly TestEntry[], hooks?: MemoryFileSystemHooks);
  lookup(parent: number, name: ByteString, reply: Reply): Outcome;
  getattr(nodeid: number, reply: Reply): Outcome;
  readlink(nodeid: number, reply: Reply): Outcome;
  read(nodeid: number, offset: number, length: number, reply: Reply, unique: number): Outcome;
  readdir(nodeid: number, cookie: number, reply: Reply): Outcome;
  readdirplus(nodeid: number, cookie: number, reply: Reply): Outcome;
  statfs(reply: Reply): Outcome;
  getxattr(nodeid: number, name: ByteString, reply: Reply): Outcome;
  listxattr(nodeid: number, reply: Reply): Outcome;
  lseek(nodeid: number, offset: number, hole: boolean, reply: Reply): Outcome;
  forget(nodeid: number, count: number): void;
  interrupt(unique: number): void;
}
