// Reads random ranges of a mount's files and compares them with the files they were made from, past the page cache, until
// it is sent SIGTERM. Every second, and then, it prints what it saw: { reads, bytes, wrong, errors: { CODE: count },
// longestMs }.
//
// node verifying-reader.js MOUNT ORIGINAL [SEED]
import { closeSync, constants, openSync, readdirSync, readFileSync, readSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

const [, , mount, original, seed = '1'] = process.argv;
const maximumLength = 128 * 1024;

let state = Number(seed) * 2654435761 + 1;
/** xorshift32: a whole number from 0 below `limit`. */
function random(limit) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

const files = readdirSync(original, { recursive: true })
  .filter((name) => statSync(path.join(original, name)).isFile())
  .map((name) => ({ name, content: readFileSync(path.join(original, name)) }))
  .filter(({ content }) => content.length > 0);

const seen = { reads: 0, bytes: 0, wrong: 0, errors: {}, longestMs: 0 };
const buffer = Buffer.alloc(maximumLength);

function readOnce() {
  const { name, content } = files[random(files.length)];
  const offset = random(content.length) & ~4095;
  const start = performance.now();
  let fd;
  try {
    fd = openSync(path.join(mount, name), constants.O_RDONLY | constants.O_DIRECT);
    const length = readSync(fd, buffer, 0, maximumLength, offset);
    seen.bytes += length;
    const expected = content.subarray(offset, offset + maximumLength);
    if (!buffer.subarray(0, length).equals(expected)) seen.wrong++;
  } catch (error) {
    seen.errors[error.code] = (seen.errors[error.code] ?? 0) + 1;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  seen.reads++;
  seen.longestMs = Math.max(seen.longestMs, Math.round(performance.now() - start));
}

let isStopped = false;
process.once('SIGTERM', () => {
  isStopped = true;
});
let toldAt = 0;
const work = () => {
  readOnce();
  if (isStopped || performance.now() - toldAt > 1000) {
    writeSync(1, `${JSON.stringify(seen)}\n`);
    toldAt = performance.now();
  }
  if (!isStopped) setImmediate(work);
};
writeSync(1, 'reading\n');
work();
