import { inHeader } from '../../src/fuse/format.ts';

/** Bytes of one request as the kernel writes it. */
export function encodeRequest(opcode: number, nodeid: number, body: Uint8Array = Buffer.alloc(0), unique = 2): Buffer {
  const bytes = Buffer.alloc(inHeader.size + body.length);
  bytes.writeUInt32LE(bytes.length, inHeader.len);
  bytes.writeUInt32LE(opcode, inHeader.opcode);
  bytes.writeBigUInt64LE(BigInt(unique), inHeader.unique);
  bytes.writeBigUInt64LE(BigInt(nodeid), inHeader.nodeid);
  bytes.set(body, inHeader.size);
  return bytes;
}

/** A body of 32-bit and (bigint) 64-bit fields, in order. */
export function encodeBody(...fields: readonly (number | bigint)[]): Buffer {
  return Buffer.concat(
    fields.map((field) => {
      const bytes = Buffer.alloc(typeof field === 'bigint' ? 8 : 4);
      if (typeof field === 'bigint') bytes.writeBigUInt64LE(field);
      else bytes.writeUInt32LE(field);
      return bytes;
    }),
  );
}
