/** What a crafted ELF file says of itself. */
export interface ElfFileOptions {
  readonly is64?: boolean;
  readonly littleEndian?: boolean;
  /** EM_*; default: x86-64. */
  readonly machine?: number;
  readonly interpreter?: string;
  readonly needed?: readonly string[];
  readonly rpath?: string;
  readonly runpath?: string;
  /** Bytes of zeros behind everything, in a segment of their own that can be written to. */
  readonly data?: number;
}

const headerSize = { 32: 52, 64: 64 };
const segmentSize = { 32: 32, 64: 56 };

/** Makes the least that a loader takes for an object: headers, strings, a dynamic section. Source: elf(5). */
export function elfFile(options: ElfFileOptions = {}): Buffer {
  const { is64 = true, littleEndian = true, machine = 62, data = 0 } = options;
  const bits = is64 ? 64 : 32;
  const word = bits / 8;
  const strings = new StringTable();
  const dynamic: [tag: number, value: number][] = [
    ...(options.needed ?? []).map((name): [number, number] => [1, strings.add(name)]),
    ...(options.rpath === undefined ? [] : [[15, strings.add(options.rpath)] as [number, number]]),
    ...(options.runpath === undefined ? [] : [[29, strings.add(options.runpath)] as [number, number]]),
  ];
  const interp = options.interpreter === undefined ? undefined : strings.add(options.interpreter);
  const count = 4;
  const stringsAt = headerSize[bits] + count * segmentSize[bits];
  const dynamicAt = Math.ceil((stringsAt + strings.bytes.length) / 16) * 16;
  const dynamicSize = (dynamic.length + 3) * 2 * word;
  const dataAt = dynamicAt + dynamicSize;
  const file = Buffer.alloc(dataAt + data);
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const put = (at: number, value: number, size = word): void => {
    if (size === 8) view.setBigUint64(at, BigInt(value), littleEndian);
    else if (size === 4) view.setUint32(at, value, littleEndian);
    else view.setUint16(at, value, littleEndian);
  };
  file.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, littleEndian ? 1 : 2, 1]);
  put(16, 3, 2);
  put(18, machine, 2);
  put(is64 ? 32 : 28, headerSize[bits]);
  put(is64 ? 54 : 42, segmentSize[bits], 2);
  put(is64 ? 56 : 44, count, 2);
  const segment = (i: number, type: number, flags: number, offset: number, length: number): void => {
    const at = headerSize[bits] + i * segmentSize[bits];
    put(at, type, 4);
    put(at + (is64 ? 4 : 24), flags, 4);
    put(at + (is64 ? 8 : 4), offset);
    put(at + (is64 ? 16 : 8), 0x1000 + offset);
    put(at + (is64 ? 32 : 16), length);
  };
  segment(0, 1, 4, 0, dataAt);
  segment(1, 2, 4, dynamicAt, dynamicSize);
  segment(2, interp === undefined ? 0 : 3, 4, stringsAt + (interp ?? 0), 1);
  segment(3, 1, 6, dataAt, data);
  strings.bytes.copy(file, stringsAt);
  const tables: [number, number][] = [
    [5, 0x1000 + stringsAt],
    [10, strings.bytes.length],
  ];
  for (const [i, [tag, value]] of [...dynamic, ...tables].entries()) {
    put(dynamicAt + 2 * i * word, tag);
    put(dynamicAt + (2 * i + 1) * word, value);
  }
  return file;
}

class StringTable {
  bytes = Buffer.alloc(1);

  /** @returns its offset */
  add(text: string): number {
    const offset = this.bytes.length;
    this.bytes = Buffer.concat([this.bytes, Buffer.from(`${text}\0`, 'latin1')]);
    return offset;
  }
}

/** Makes /etc/ld.so.cache. Layout: glibc, sysdeps/generic/dl-cache.h. */
export function libraryCache(
  entries: readonly { name: string; path: string; flags?: number; hwcap?: bigint }[],
): Buffer {
  const strings = new StringTable();
  const header = 48;
  const start = header + entries.length * 24;
  const table = Buffer.alloc(start);
  table.write('glibc-ld.so.cache1.1', 'latin1');
  table.writeUInt32LE(entries.length, 20);
  for (const [i, { name, path, flags = 0x0303, hwcap = 0n }] of entries.entries()) {
    const at = header + i * 24;
    table.writeUInt32LE(flags, at);
    table.writeUInt32LE(start + strings.add(name), at + 4);
    table.writeUInt32LE(start + strings.add(path), at + 8);
    table.writeBigUInt64LE(hwcap, at + 16);
  }
  table.writeUInt32LE(strings.bytes.length, 24);
  return Buffer.concat([table, strings.bytes]);
}
