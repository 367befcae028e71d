import { constants } from 'node:os';
import { PENDING } from '../../dist/fuse/operations.js';

const { ENODATA, ENOENT, ENXIO } = constants.errno;
const directoryBits = 0o040000;

export const counted = ['lookup', 'getattr', 'readlink', 'read', 'readdir', 'readdirplus', 'getxattr', 'forget'];
const counterOf = Object.fromEntries(counted.map((name, index) => [name, index]));

/** A file system in memory, made of test entries: the smallest honest implementation of Operations. */
export class MemoryFileSystem {
  /** By nodeid; the root is 1. */
  #nodes = [undefined];
  #counters;
  #onPending;
  #onInterrupt;

  constructor(entries, hooks = {}) {
    this.#counters = hooks.counters ?? new Int32Array(counted.length);
    this.#onPending = hooks.onPending ?? (() => undefined);
    this.#onInterrupt = hooks.onInterrupt ?? (() => undefined);
    const byPath = new Map();
    for (const entry of entries) this.#add(entry, byPath);
  }

  #add(entry, byPath) {
    const slash = entry.path.lastIndexOf('/');
    const parent = byPath.get(slash < 0 ? '' : entry.path.slice(0, slash));
    const node = entry.linkTo === undefined ? this.#make(entry, parent) : byPath.get(entry.linkTo);
    if (entry.linkTo !== undefined) node.nlink++;
    byPath.set(entry.path, node);
    if (entry.path === '') return;
    const name = entry.path.slice(slash + 1);
    parent.names.push(name);
    parent.children.set(name, node);
    if (node.children !== undefined) parent.nlink++;
  }

  #make(entry, parent) {
    const isDirectory = (entry.mode & 0o170000) === directoryBits;
    const data = entry.data ?? [];
    const last = data.at(-1);
    const size = entry.size ?? entry.target?.length ?? (last === undefined ? 0 : last.offset + last.bytes.length);
    const node = {
      ino: this.#nodes.length,
      mode: entry.mode,
      nlink: isDirectory ? 2 : 1,
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      rdev: entry.rdev ?? 0,
      size,
      blocks: Math.ceil(size / 512),
      mtime: entry.mtime ?? 0,
      mtimeNs: entry.mtimeNs ?? 0,
      data,
      target: entry.target,
      xattrs: entry.xattrs ?? {},
      pending: entry.pending === true,
      parent,
      names: isDirectory ? ['.', '..'] : undefined,
      children: isDirectory ? new Map() : undefined,
    };
    node.children?.set('.', node).set('..', parent ?? node);
    this.#nodes.push(node);
    return node;
  }

  #count(name) {
    Atomics.add(this.#counters, counterOf[name], 1);
  }

  lookup(parent, name, reply) {
    this.#count('lookup');
    const node = this.#nodes[parent]?.children?.get(name);
    return node === undefined ? -ENOENT : reply.entry(node.ino, node);
  }

  getattr(nodeid, reply) {
    this.#count('getattr');
    const node = this.#nodes[nodeid];
    return node === undefined ? -ENOENT : reply.attributes(node);
  }

  readlink(nodeid, reply) {
    this.#count('readlink');
    return reply.bytes(Buffer.from(this.#nodes[nodeid]?.target ?? '', 'latin1'));
  }

  read(nodeid, offset, length, reply, unique) {
    this.#count('read');
    const node = this.#nodes[nodeid];
    if (node === undefined) return -ENOENT;
    if (node.pending) {
      this.#onPending({ nodeid, offset, length, unique });
      return PENDING;
    }
    const available = Math.max(0, Math.min(length, node.size - offset));
    return copyData(node.data, offset, available, reply.data);
  }

  readdir(nodeid, cookie, reply) {
    this.#count('readdir');
    const node = this.#nodes[nodeid];
    for (let i = cookie; i < (node?.names?.length ?? 0); i++) {
      const child = node.children.get(node.names[i]);
      if (!reply.directoryEntry(node.names[i], child.ino, child.mode >>> 12, i + 1)) break;
    }
    return reply.directoryLength;
  }

  readdirplus(nodeid, cookie, reply) {
    this.#count('readdirplus');
    const node = this.#nodes[nodeid];
    for (let i = cookie; i < (node?.names?.length ?? 0); i++) {
      const child = node.children.get(node.names[i]);
      if (!reply.directoryEntryPlus(node.names[i], i < 2 ? 0 : child.ino, child, i + 1)) break;
    }
    return reply.directoryLength;
  }

  statfs(reply) {
    return reply.statistics({ blockSize: 4096, blocks: 1000, files: this.#nodes.length - 1 });
  }

  getxattr(nodeid, name, reply) {
    this.#count('getxattr');
    const value = this.#nodes[nodeid]?.xattrs[name];
    return value === undefined ? -ENODATA : reply.bytes(value);
  }

  listxattr(nodeid, reply) {
    const names = Object.keys(this.#nodes[nodeid]?.xattrs ?? {});
    return reply.bytes(Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1'));
  }

  lseek(nodeid, offset, hole, reply) {
    const node = this.#nodes[nodeid];
    if (node === undefined || offset >= node.size) return -ENXIO;
    let at = offset;
    for (const { offset: start, bytes } of node.data) {
      const end = start + bytes.length;
      if (end <= at) continue;
      if (!hole) return reply.offset(Math.max(at, start));
      if (at < start) break;
      at = end;
    }
    return hole ? reply.offset(Math.min(at, node.size)) : -ENXIO;
  }

  forget(nodeid, count) {
    this.#count('forget');
    if (this.#nodes[nodeid] === undefined || count < 1) throw new Error(`forget of ${nodeid}, ${count} times`);
  }

  interrupt(unique) {
    this.#onInterrupt(unique);
  }
}

/** Puts the bytes from `offset` on into `target`; what no run covers is zeros. */
function copyData(runs, offset, length, target) {
  const end = offset + length;
  let at = offset;
  for (const run of runs) {
    const runEnd = run.offset + run.bytes.length;
    if (runEnd <= at) continue;
    if (run.offset >= end) break;
    if (run.offset > at) target.fill(0, at - offset, run.offset - offset);
    const from = Math.max(at, run.offset);
    const to = Math.min(end, runEnd);
    target.set(run.bytes.subarray(from - run.offset, to - run.offset), from - offset);
    at = to;
  }
  if (at < end) target.fill(0, at - offset, length);
  return length;
}
