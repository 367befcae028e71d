import { open } from 'node:fs/promises';

/** Flips the lowest bit of one byte of a file. Twice is not at all. */
export async function flipBit(file: string, offset: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, offset);
    byte.writeUInt8(byte.readUInt8() ^ 1);
    await handle.write(byte, 0, 1, offset);
  } finally {
    await handle.close();
  }
}
