import { createRequire } from 'node:module';
import type { ZstdModule } from 'zstd-codec/lib/zstd-codec-binding-wasm.js';

/**
 * What libzstd needs besides the bytes themselves: program data and stack (5.1 MiB), and at level 19, the highest used
 * here, at most 64 MiB of chains, 16 MiB of hashes and a few of statistics.
 */
export const heapReserve = 128 * 1024 * 1024;

type CreateModule = typeof import('zstd-codec/lib/zstd-codec-binding-wasm.js');

let createModule: CreateModule | undefined;
let compiled: WebAssembly.Module | undefined;

/**
 * Loads and compiles zstd; until that is done {@link instantiate} throws. Doing it twice costs nothing. The module is
 * 770 kB of text, 27 ms to load: a mount need not wait for it. By require(): import() reads all of the text once more, for
 * names that it exports.
 */
export async function compileZstd(): Promise<void> {
  if (compiled !== undefined) return;
  createModule = createRequire(import.meta.url)('zstd-codec/lib/zstd-codec-binding-wasm.js') as CreateModule;
  compiled = await WebAssembly.compile(liftMemoryLimit(embeddedBinary(createModule)));
}

/**
 * A zstd of its own with a heap of its own, which is memory for as long as the result is referenced. Pages of the heap
 * that nothing touched cost address space only.
 *
 * libzstd that runs out of heap ends its module for good, so whoever calls it has checked that the heap suffices.
 * @param heapSize - bytes, below 1 GiB
 * @throws {Error} before {@link compileZstd} is done
 */
export function instantiate(heapSize: number): ZstdModule {
  const module = compiled;
  if (module === undefined || createModule === undefined)
    throw new Error('loadZstd() must have finished before zstd is used');
  return createModule({
    TOTAL_MEMORY: Math.ceil(heapSize / 0x10000) * 0x10000,
    print: () => undefined,
    printErr: () => undefined,
    instantiateWasm(imports, receive) {
      const instance = new WebAssembly.Instance(module, imports);
      receive(instance);
      return instance.exports;
    },
  });
}

/** zstd-codec carries its binary as a data URI inside the factory's own text. */
function embeddedBinary(factory: CreateModule): Buffer {
  const base64 = /data:application\/octet-stream;base64,([A-Za-z0-9+/=]+)/.exec(factory.toString())?.[1];
  if (base64 === undefined) throw new Error('Cannot load zstd-codec: its WebAssembly binary is not where 0.1.5 has it');
  return Buffer.from(base64, 'base64');
}

/**
 * zstd-codec is built for a heap of exactly 16 MiB, and its libzstd aborts at level 10 on 1 MiB of input. The limit is
 * one number in the import section, "memory" with at least 256 and at most 256 pages, so this raises the maximum.
 *
 * Source: WebAssembly Core Specification 1.0, sections 5.3.4 (limits) and 5.5.5 (imports).
 */
function liftMemoryLimit(binary: Buffer): Uint8Array {
  const memoryImport = Buffer.from([...Buffer.from('\x06memory'), 0x02, 0x01, 0x80, 0x02, 0x80, 0x02]);
  const at = binary.indexOf(memoryImport);
  if (at < 0) throw new Error('Cannot load zstd-codec: its WebAssembly binary does not import memory as 0.1.5 does');
  // 16,383 pages of 64 KiB: the most that two bytes of LEB128 can say.
  binary.set([0xff, 0x7f], at + memoryImport.length - 2);
  return binary;
}
