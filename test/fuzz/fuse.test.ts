import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../src/errors.ts';
import { Dispatcher } from '../../src/fuse/dispatcher.ts';
import { inHeader, opcode, outHeader } from '../../src/fuse/format.ts';
import { MemoryFileSystem } from '../support/fuse-memory.js';
import { encodeRequest } from '../support/fuse-requests.ts';
import { fuzzProperty } from '../support/fuzz.ts';

const cases = 10_000;

const entries = [
  { path: '', mode: 0o040755 },
  { path: 'file', mode: 0o100644, data: [{ offset: 4096, bytes: Buffer.alloc(10_000, 'x') }] },
  { path: 'slow', mode: 0o100644, size: 4096, pending: true },
  { path: 'link', mode: 0o120777, target: 'file' },
  { path: 'attributes', mode: 0o100644, xattrs: { 'user.a': Buffer.alloc(100) } },
  ...Array.from({ length: 300 }, (_, i) => ({ path: `${i}`, mode: 0o100644 })),
];

/** Any bytes as a request: an answer of the right form, none, or a SluiceError. */
function survives(dispatcher: Dispatcher, bytes: Uint8Array): void {
  dispatcher.request.buffer.set(bytes);
  let length: number;
  try {
    length = dispatcher.answer(bytes.length);
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError);
    return;
  }
  if (length === 0) return;
  const answer = dispatcher.reply.buffer;
  const error = answer.readInt32LE(outHeader.error);
  expect(length).toBeLessThanOrEqual(answer.length);
  expect(answer.readUInt32LE(outHeader.len)).toBe(length);
  expect(error).toBeLessThanOrEqual(0);
  expect(error).toBeGreaterThan(-512);
  if (error < 0) expect(length).toBe(outHeader.size);
  expect(answer.subarray(outHeader.unique, outHeader.size)).toEqual(
    Buffer.from(bytes.subarray(inHeader.unique, inHeader.unique + 8)),
  );
}

const code = fc.oneof(fc.constantFrom(...Object.values(opcode)), fc.nat(70), fc.nat());
const field = fc.oneof(fc.nat(400), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }));

describe('Dispatcher, given any bytes,', () => {
  const dispatcher = new Dispatcher(new MemoryFileSystem(entries));

  it('survives requests with senseless bodies', () => {
    const property = fc.property(code, fc.nat(310), fc.uint8Array({ maxLength: 200 }), (kind, nodeid, body) =>
      survives(dispatcher, encodeRequest(kind, nodeid, body)),
    );
    fuzzProperty(cases, property);
  });

  it('survives well-formed requests with senseless numbers', () => {
    const property = fc.property(
      code,
      field,
      fc.array(field, { minLength: 2, maxLength: 12 }),
      (kind, nodeid, fields) => {
        const body = Buffer.alloc(fields.length * 8 + 1);
        for (const [index, value] of fields.entries()) body.writeBigUInt64LE(BigInt(value), index * 8);
        const request = encodeRequest(kind, 1, body);
        request.writeBigUInt64LE(BigInt(nodeid), inHeader.nodeid);
        survives(dispatcher, request);
      },
    );
    fuzzProperty(cases, property);
  });

  it('survives bytes that are no requests', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => survives(dispatcher, bytes));
    fuzzProperty(cases, property);
  });
});
