import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { DEVICE_RECORD_SIZE, footerFields } from '../../src/bootstrap/format.ts';
import { planRead } from '../../src/bootstrap/plan-read.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { fuzz } from '../support/fuzz.ts';
import { sampleBootstrap, sampleDevices } from '../support/sample-bootstrap.ts';

describe('any bytes give a value or a SluiceError', () => {
  const bytes = sampleBootstrap();
  const good = Bootstrap.open(bytes, undefined);
  const names = ['empty', 'small', 'spread'].map(byteStringFromText);
  const nids = names.map((name) => good.erofs.lookup(good.erofs.rootNid, name) ?? -1);

  function readAll(copy: Uint8Array): void {
    const bootstrap = Bootstrap.open(copy, undefined);
    for (const nid of nids) planRead(bootstrap, nid, 0, 1 << 20);
  }

  it('Bootstrap.open() and planRead(), the whole file', () => {
    fuzz(5_000, bytes, readAll);
  });

  it('Bootstrap.open() and planRead(), what is not EROFS', () => {
    // Most of a file is EROFS, which has a fuzz test of its own: aim at the rest.
    const start = bytes.length - 4096 - 4096;
    const used = sampleDevices.reduce((sum, { chunks }) => sum + DEVICE_RECORD_SIZE + chunks.serialise().length, 0);
    expect(used).toBeLessThan(4096);
    const footerSize = footerFields.chunkMapsLength + 8;
    const copy = bytes.slice();
    const parsed = fuzz(
      20_000,
      Buffer.concat([bytes.subarray(start, start + used), bytes.subarray(-4096, -4096 + footerSize)]),
      (tail) => {
        copy.set(bytes.subarray(start), start);
        copy.set(tail.subarray(0, used), start);
        copy.set(tail.subarray(used, used + footerSize), copy.length - 4096);
        readAll(copy);
      },
    );
    expect(parsed).toBeGreaterThan(0);
  });
});
