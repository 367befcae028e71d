import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { planRead } from '../../src/bootstrap/plan-read.ts';
import { writeBootstrap } from '../../src/bootstrap/writer.ts';
import { byteStringFromText } from '../../src/byte-string.ts';
import { FormatError } from '../../src/errors.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import { content } from '../support/content.ts';
import { directory, file, sampleBootstrap, sampleDevice, sampleDevices } from '../support/sample-bootstrap.ts';

function nidOf(bootstrap: Bootstrap, name: string): number {
  return bootstrap.erofs.lookup(bootstrap.erofs.rootNid, byteStringFromText(name)) ?? -1;
}

describe('planRead()', () => {
  const bootstrap = Bootstrap.open(sampleBootstrap(), undefined);
  const nid = nidOf(bootstrap, 'spread');
  const whole = new Uint8Array(300_000);
  whole.set(sampleDevices[2]!.image.subarray(4096, 4096 + 40_960), 0);
  whole.set(sampleDevices[0]!.image.subarray(4096, 4096 + 20_480), 81_920);
  whole.set(sampleDevices[2]!.image.subarray(65_536, 65_536 + 90_112), 204_800);

  it('covers a read without gaps, within chunks, and with the right bytes', () => {
    fc.assert(
      fc.property(fc.nat(310_000), fc.nat(310_000), (offset, length) => {
        const read = new Uint8Array(Math.max(0, Math.min(length, whole.length - offset)));
        let position = offset;
        for (const segment of planRead(bootstrap, nid, offset, length)) {
          expect(segment.fileOffset).toBe(position);
          expect(segment.length).toBeGreaterThan(0);
          position += segment.length;
          if (segment.kind !== 'chunk') continue;
          const { device, chunk, offsetInChunk, deviceOffset } = segment;
          const { chunks } = bootstrap.devices[device]!;
          expect(chunks.uncompressedOffset(chunk) + offsetInChunk).toBe(deviceOffset);
          expect(offsetInChunk + segment.length).toBeLessThanOrEqual(chunks.uncompressedLength(chunk));
          const from = sampleDevices[device]!.image.subarray(deviceOffset, deviceOffset + segment.length);
          read.set(from, segment.fileOffset - offset);
        }
        expect(position).toBe(offset + read.length);
        expect(Buffer.compare(read, whole.subarray(offset, offset + read.length))).toBe(0);
      }),
    );
  });

  it('splits a read at chunk borders', () => {
    // Device 2: chunks of 4, 8, 12 … KiB; the file begins at its second.
    expect(planRead(bootstrap, nid, 4096, 10_000)).toEqual([
      { kind: 'chunk', fileOffset: 4096, length: 4096, device: 2, chunk: 1, offsetInChunk: 4096, deviceOffset: 8192 },
      { kind: 'chunk', fileOffset: 8192, length: 5904, device: 2, chunk: 2, offsetInChunk: 0, deviceOffset: 12_288 },
    ]);
  });

  it('gives holes as such, and nothing behind the end', () => {
    expect(planRead(bootstrap, nid, 45_056, 4096)).toEqual([{ kind: 'hole', fileOffset: 45_056, length: 4096 }]);
    expect(planRead(bootstrap, nid, 300_000, 4096)).toEqual([]);
    expect(planRead(bootstrap, nidOf(bootstrap, 'empty'), 0, 4096)).toEqual([]);
  });

  it('makes one segment of a read within a chunk of a large file', () => {
    const device = sampleDevice(
      'large',
      Array.from({ length: 100 }, () => 131_072),
    );
    const large = Bootstrap.open(
      writeBootstrap({
        tree: directory({ large: file(13_107_200, [{ offset: 0, length: 13_107_200, device: 0, deviceOffset: 0 }]) }),
        devices: [{ blob: digestFromBytes(content('blob', 32)), blobSize: 13_107_200, ...device }],
        algorithm: 'sha256',
      }),
      undefined,
    );
    for (let chunk = 0; chunk < 100; chunk++) {
      expect(planRead(large, nidOf(large, 'large'), chunk * 131_072 + 4096, 65_536)).toMatchObject([
        { chunk, length: 65_536 },
      ]);
    }
  });

  it.each([
    ['behind the end of its device', 95, 100],
    ['across the end of its device', 95, 99],
  ])('refuses a file that lies %s', (_, block, patched) => {
    // Enough names that the inodes lie behind the superblock's block, whose checksum would tell.
    const files = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`name${i}`, file(0, [])]));
    const odd = file(8192, [{ offset: 0, length: 8192, device: 0, deviceOffset: block * 4096 }]);
    const device = sampleDevice('odd', [40_960, 368_640]);
    const bytes = writeBootstrap({
      tree: directory({ ...files, odd }),
      devices: [{ blob: digestFromBytes(content('blob', 32)), blobSize: 409_600, ...device }],
      algorithm: 'sha256',
    });
    // struct erofs_inode_chunk_index: advise, device, block.
    const index = (at: number): Buffer => Buffer.from([0, 0, 1, 0, at, 0, 0, 0]);
    const at = Buffer.from(bytes.buffer).indexOf(index(block));
    expect(at).toBeGreaterThan(4096);
    bytes.set(index(patched), at);
    const damaged = Bootstrap.open(bytes, undefined);
    expect(() => planRead(damaged, nidOf(damaged, 'odd'), 0, 8192)).toThrow(FormatError);
  });
});
