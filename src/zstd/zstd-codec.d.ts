/** The WebAssembly build inside zstd-codec, which has no types: an Emscripten module factory. */
declare module 'zstd-codec/lib/zstd-codec-binding-wasm.js' {
  /** A std::vector<uint8_t> on the module's heap. */
  export interface ByteVector {
    /** @param fill - for the bytes that are new */
    resize(length: number, fill: number): void;
    delete(): void;
  }

  /** Negative results are errors. */
  export interface Codec {
    compressBound(length: number): number;
    compress(destination: ByteVector, source: ByteVector, level: number): number;
    decompress(destination: ByteVector, source: ByteVector): number;
    delete(): void;
  }

  /** False results are errors. */
  export interface DecompressStream {
    begin(): boolean;
    /** @param output - called with copies */
    transform(bytes: Uint8Array, output: (bytes: Uint8Array) => void): boolean;
    flush(output: (bytes: Uint8Array) => void): boolean;
    delete(): void;
  }

  export interface ZstdModule {
    readonly VectorU8: new () => ByteVector;
    readonly ZstdCodec: new () => Codec;
    readonly ZstdDecompressStreamBinding: new () => DecompressStream;
    /** A view of the heap, good until the vector changes. */
    toTypedArrayView(vector: ByteVector): Uint8Array;
  }

  export interface ModuleOptions {
    /** Bytes of heap, fixed for the module's life. */
    readonly TOTAL_MEMORY: number;
    readonly print: (text: string) => void;
    readonly printErr: (text: string) => void;
    readonly instantiateWasm: (
      imports: object,
      receive: (instance: WebAssembly.Instance) => void,
    ) => WebAssembly.Exports;
  }

  /** Turns `options` into the module. */
  function createModule(options: ModuleOptions): ZstdModule;
  export = createModule;
}

/** The part of WebAssembly used here; @types/node 20 has none of it. */
declare namespace WebAssembly {
  type Exports = Readonly<Record<string, unknown>>;
  class Module {
    private readonly brand;
  }
  class Instance {
    constructor(module: Module, imports: object);
    readonly exports: Exports;
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
