/** The part of fuse-native 2.2 that is used; the package has no types. */
declare module 'fuse-native' {
  /** As stat(2) has it; times are milliseconds since the epoch. What is left out is 0. */
  export interface Stat {
    readonly mode: number;
    readonly ino: number;
    readonly uid?: number;
    readonly gid?: number;
    readonly size?: number;
    readonly nlink?: number;
    readonly rdev?: number;
    readonly blksize?: number;
    readonly blocks?: number;
    readonly atime?: number;
    readonly mtime?: number;
    readonly ctime?: number;
  }

  /** As statvfs(3) has it. What is left out is 0. */
  export interface Statfs {
    readonly bsize: number;
    readonly frsize: number;
    readonly blocks: number;
    readonly files: number;
    readonly namemax: number;
  }

  /** Called once. @param status - 0, or a negative errno and nothing else */
  export type Answer<T extends unknown[]> = (status: number, ...result: T | []) => void;

  /**
   * Called on the main thread; a thread of libfuse waits for each answer. Nothing may be thrown.
   * Paths are decoded as UTF-8: bytes that are none arrive as U+FFFD.
   */
  export interface Operations {
    getattr(path: string, answer: Answer<[Stat]>): void;
    /** Each name, `.` and `..` included, and its attributes, of which only number and type are used. */
    readdir(path: string, answer: Answer<[string[], Stat[]]>): void;
    readlink(path: string, answer: Answer<[string]>): void;
    statfs(path: string, answer: Answer<[Statfs]>): void;
    /** @param target - good until the answer. @param answer - gets how many bytes were put there, or a negative errno */
    read(path: string, handle: number, target: Buffer, length: number, offset: number, answer: Answer<[]>): void;
  }

  /** Hands back the memory that came with a call, and its result: a negative errno, or what the call returns. */
  export type Signal = (result: number, memory: ArrayBufferLike) => void;

  // biome-ignore lint/style/noDefaultExport: this is what a CommonJS module is to an importer.
  export default class Fuse {
    /** Replaceable. Not usable as it is: it gives the mount point to a shell. */
    static unmount(mountPoint: string, done: (error: Error | null) => void): void;
    /** @param options - without a timeout an answer may take any time */
    constructor(mountPoint: string, operations: Operations & object, options: { readonly timeout: false });
    /** Calls back when the kernel has begun to talk. */
    mount(done: (error?: Error | null) => void): void;
    /** Lets go of the event loop, having called {@link Fuse.unmount}. */
    unmount(done: (error?: Error | null) => void): void;
    /** What libfuse is given: `-oNAME,NAME=VALUE`. */
    protected _fuseOptions(): string;
    protected _op_getxattr(signal: Signal, path: string, name: string, room: Buffer): void;
    protected _op_listxattr(signal: Signal, path: string, room: Buffer): void;
  }
}
