// node bench/micro/digest.js, after npm run build.
import { createHash, hash as oneShot, randomBytes } from 'node:crypto';
import { hash } from '../../dist/digest/hash.js';
import { fsverityDigest } from '../../dist/digest/merkle.js';
import { measure } from './report.js';

const sizes = [64, 4096, 131_072, 1_048_576];
const inputs = sizes.map((bytes) => [bytes, randomBytes(bytes)]);

measure(
  'SHA-256: hash() and what it was chosen from',
  inputs.flatMap(([bytes, input]) => [
    { name: `hash() ${bytes}`, bytes, run: () => hash('sha256', input) },
    { name: `crypto.hash buffer ${bytes}`, bytes, run: () => oneShot('sha256', input, 'buffer') },
    { name: `createHash ${bytes}`, bytes, run: () => createHash('sha256').update(input).digest() },
  ]),
);
measure(
  'BLAKE3',
  inputs.map(([bytes, input]) => ({ name: `hash() ${bytes}`, bytes, run: () => hash('blake3', input) })),
);
const file = randomBytes(16 << 20);
measure('fs-verity', [{ name: 'fsverityDigest() 16 MiB', bytes: file.length, run: () => fsverityDigest(file) }]);
