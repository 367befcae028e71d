import { constants } from 'node:os';
import { batchForgetIn, forgetIn, forgetOne, getxattrIn, interruptIn, lseekIn, opcode, readIn } from './format.ts';
import { negotiate } from './negotiate.ts';
import type { Operations, Outcome } from './operations.ts';
import { maximumRead, type Reply } from './reply.ts';
import type { Request } from './request.ts';

const { EINVAL, ENOENT, ENOSYS, ERANGE, EROFS } = constants.errno;

/** `whence` of lseek(2); the kernel does the others itself. */
const seekData = 3;
const seekHole = 4;

/** No answer is due, now or later. */
export const SILENT = -0x20000;

/** Decodes one kind of request, calls the operation, and completes what the protocol asks beyond it. */
type Handler = (request: Request, operations: Operations, reply: Reply) => Outcome;

const lookup: Handler = (request, operations, reply) => {
  const outcome = operations.lookup(request.nodeid, request.name(0), reply);
  return outcome === -ENOENT ? reply.noEntry() : outcome;
};

const read: Handler = (request, operations, reply) => {
  request.need(readIn.size);
  const length = request.u32(readIn.length);
  if (length > maximumRead) return -EINVAL;
  return operations.read(request.nodeid, request.u64(readIn.offset), length, reply, request.unique, request.pid);
};

const readDirectory: Handler = (request, operations, reply) => {
  request.need(readIn.size);
  const cookie = request.u64(readIn.offset);
  reply.beginDirectory(request.u32(readIn.length));
  return request.opcode === opcode.readdirplus
    ? operations.readdirplus(request.nodeid, cookie, reply)
    : operations.readdir(request.nodeid, cookie, reply);
};

/** A reader that gives no room asks for the length alone. Source: getxattr(2), listxattr(2). */
function fitExtendedAttribute(outcome: Outcome, room: number, reply: Reply): Outcome {
  if (outcome < 0) return outcome;
  if (room === 0) return reply.xattrLength(outcome);
  return outcome > room ? -ERANGE : outcome;
}

const getExtendedAttribute: Handler = (request, operations, reply) => {
  request.need(getxattrIn.size);
  const outcome = operations.getxattr(request.nodeid, request.name(getxattrIn.size), reply);
  return fitExtendedAttribute(outcome, request.u32(getxattrIn.length), reply);
};

const listExtendedAttributes: Handler = (request, operations, reply) => {
  request.need(getxattrIn.size);
  return fitExtendedAttribute(operations.listxattr(request.nodeid, reply), request.u32(getxattrIn.length), reply);
};

const seek: Handler = (request, operations, reply) => {
  request.need(lseekIn.size);
  const whence = request.u32(lseekIn.whence);
  if (whence !== seekData && whence !== seekHole) return -EINVAL;
  return operations.lseek(request.nodeid, request.u64(lseekIn.offset), whence === seekHole, reply);
};

const forget: Handler = (request, operations) => {
  request.need(forgetIn.size);
  operations.forget?.(request.nodeid, request.u64(forgetIn.nlookup));
  return SILENT;
};

const forgetBatch: Handler = (request, operations) => {
  if (operations.forget === undefined) return SILENT;
  request.need(batchForgetIn.size);
  const count = request.u32(batchForgetIn.count);
  request.need(batchForgetIn.size + count * forgetOne.size);
  for (let i = 0; i < count; i++) {
    const at = batchForgetIn.size + i * forgetOne.size;
    operations.forget(request.u64(at + forgetOne.nodeid), request.u64(at + forgetOne.nlookup));
  }
  return SILENT;
};

const interrupt: Handler = (request, operations) => {
  if (operations.interrupt === undefined) return -ENOSYS;
  request.need(interruptIn.size);
  operations.interrupt(request.uniqueAt(interruptIn.unique));
  return SILENT;
};

const readOnly: Handler = () => -EROFS;

const byOpcode: Readonly<Record<number, Handler>> = {
  [opcode.init]: (request, operations, reply) => negotiate(request, reply, operations.maximumReadahead),
  [opcode.lookup]: lookup,
  [opcode.getattr]: (request, operations, reply) => operations.getattr(request.nodeid, reply),
  [opcode.readlink]: (request, operations, reply) => operations.readlink(request.nodeid, reply),
  [opcode.read]: read,
  [opcode.readdir]: readDirectory,
  [opcode.readdirplus]: readDirectory,
  [opcode.statfs]: (_request, operations, reply) => operations.statfs(reply),
  [opcode.getxattr]: getExtendedAttribute,
  [opcode.listxattr]: listExtendedAttributes,
  [opcode.lseek]: seek,
  [opcode.forget]: forget,
  [opcode.batchForget]: forgetBatch,
  [opcode.interrupt]: interrupt,
  [opcode.setattr]: readOnly,
  [opcode.symlink]: readOnly,
  [opcode.mknod]: readOnly,
  [opcode.mkdir]: readOnly,
  [opcode.unlink]: readOnly,
  [opcode.rmdir]: readOnly,
  [opcode.rename]: readOnly,
  [opcode.rename2]: readOnly,
  [opcode.link]: readOnly,
  [opcode.write]: readOnly,
  [opcode.create]: readOnly,
  [opcode.tmpfile]: readOnly,
  [opcode.setxattr]: readOnly,
  [opcode.removexattr]: readOnly,
  [opcode.fallocate]: readOnly,
  [opcode.copyFileRange]: readOnly,
};

/**
 * By opcode. Any other request is answered ENOSYS, upon which the kernel does without: opens and closes, ACCESS and
 * FLUSH cost no request after the first. A dense array, since V8 would keep so gappy an object as a hash table.
 */
export const handlers: readonly (Handler | undefined)[] = Array.from({ length: 64 }, (_, code) => byOpcode[code]);
