import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Bootstrap } from '../../src/bootstrap/bootstrap.ts';
import { DEVICE_RECORD_SIZE, deviceFields, footerFields } from '../../src/bootstrap/format.ts';
import { writeBootstrap } from '../../src/bootstrap/writer.ts';
import { fsverityDigest } from '../../src/digest/merkle.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import { content, sha256Hex } from '../support/content.ts';
import { directory, sampleBootstrap, sampleDevices } from '../support/sample-bootstrap.ts';
import { has } from '../support/tools.ts';

const bytes = sampleBootstrap();
const footer = bytes.length - 4096;
const view = new DataView(bytes.buffer);

/** The sample with one change. */
function changed(change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(new DataView(copy.buffer));
  return copy;
}

const section = (name: 'devices' | 'chunkMaps'): number =>
  Number(view.getBigUint64(footer + footerFields[`${name}Offset`], true));

describe('writeBootstrap()', () => {
  it('gives the same bytes every time', () => {
    expect(sha256Hex(bytes)).toBe('c22104411938539501aa94bf032dd3852b2246e132d84d8690dda8ba70342a1e');
  });

  it('gives images of other blobs another UUID', () => {
    const uuid = (blob: string): string => {
      const image = writeBootstrap({
        tree: directory({}),
        devices: [
          {
            blob: digestFromBytes(content(blob, 32)),
            blobSize: 100,
            ...sampleDevices[1]!,
          },
        ],
        algorithm: 'blake3',
      });
      return Buffer.from(image.subarray(1024 + 48, 1024 + 64)).toString('hex');
    };
    expect(uuid('a')).toMatch(/^.{12}8.{3}[89ab]/);
    expect(uuid('a')).not.toBe(uuid('b'));
  });

  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-bootstrap-'));
  const image = path.join(folder, 'bootstrap');
  writeFileSync(image, bytes);
  afterAll(() => rmSync(folder, { recursive: true }));

  it.skipIf(!has('fsck.erofs'))('leaves an image that fsck.erofs accepts', () => {
    const devices = sampleDevices.map((device, i) => {
      const name = path.join(folder, `device${i}`);
      writeFileSync(name, device.image);
      return `--device=${name}`;
    });
    execFileSync('fsck.erofs', [...devices, image], { stdio: 'pipe' });
  });

  it.skipIf(!has('fsverity'))('has the root that the fsverity tool computes', () => {
    const [digest] = execFileSync('fsverity', ['digest', '--compact', image], { encoding: 'utf8' }).trim().split(' ');
    expect(digest).toBe(Buffer.from(fsverityDigest(bytes)).toString('hex'));
  });
});

describe('Bootstrap', () => {
  const root = fsverityDigest(bytes);

  it('gives back devices, chunk maps and tree', () => {
    const bootstrap = Bootstrap.open(bytes, root);
    expect(bootstrap.digestAlgorithm).toBe('sha256');
    expect(bootstrap.devices.length).toBe(3);
    for (const [i, { blob, blobSize, chunks, verityDigest }] of bootstrap.devices.entries()) {
      expect(blob).toBe(digestFromBytes(content(`blob ${i}`, 32)));
      expect(blobSize).toBe(chunks.compressedSize + 1000 + i);
      expect(Buffer.compare(verityDigest, sampleDevices[i]!.verityDigest)).toBe(0);
      expect(Buffer.compare(chunks.serialise(), sampleDevices[i]!.chunks.serialise())).toBe(0);
    }
    expect(Array.from(bootstrap.erofs.tree().children.keys()).sort()).toEqual([
      'empty',
      'link',
      'small',
      'spread',
      'sub',
    ]);
  });

  it('opens an image without layers', () => {
    const empty = writeBootstrap({ tree: directory({}), devices: [], algorithm: 'blake3' });
    expect(Bootstrap.open(empty, fsverityDigest(empty))).toMatchObject({ devices: [], digestAlgorithm: 'blake3' });
  });

  it('lies on shared memory, and is the same in another thread', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    shared.set(bytes);
    const bootstrap = Bootstrap.open(shared, root);
    const posted = structuredClone(bootstrap.share());
    expect(posted.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    const other = Bootstrap.fromShared(posted);
    expect(other.erofs.tree()).toEqual(bootstrap.erofs.tree());
    expect(other.devices.map(({ blob, blobSize }) => [blob, blobSize])).toEqual(
      bootstrap.devices.map(({ blob, blobSize }) => [blob, blobSize]),
    );
    expect(other.devices[2]?.chunks.digest(39)).toEqual(bootstrap.devices[2]?.chunks.digest(39));
  });

  it('open() finds every changed byte before it parses any', () => {
    for (const at of [0, 1024, 5000, section('devices'), section('chunkMaps') + 7, footer, bytes.length - 1]) {
      const damaged = changed((copy) => copy.setUint8(at, copy.getUint8(at) ^ 1));
      expect(() => Bootstrap.open(damaged, root)).toThrow(expect.objectContaining({ code: 'SLUICE_MERKLE_MISMATCH' }));
    }
    expect(() => Bootstrap.open(bytes.subarray(0, footer), root)).toThrow(/its Merkle root is/);
  });

  it.each<[string, Uint8Array, string, RegExp]>([
    ['no blocks', new Uint8Array(100), 'SLUICE_BOOTSTRAP_INVALID', /it has 100 bytes/],
    ['zeros', new Uint8Array(8192), 'SLUICE_BOOTSTRAP_INVALID', /no magic number/],
    [
      'a newer version',
      changed((copy) => copy.setUint32(footer + footerFields.version, 3, true)),
      'SLUICE_BOOTSTRAP_UNSUPPORTED',
      /^Cannot read bootstrap: format version 3, want 2; convert the image again$/,
    ],
    [
      'an unknown incompatible feature',
      changed((copy) => copy.setUint32(footer + footerFields.incompatFeatures, 0x80000200, true)),
      'SLUICE_BOOTSTRAP_UNSUPPORTED',
      new RegExp(`^Cannot read bootstrap: unknown incompat feature 0x80000200 at offset ${footer + 20}$`),
    ],
    [
      'an unknown digest algorithm',
      changed((copy) => copy.setUint8(footer + footerFields.digestAlgorithm, 7)),
      'SLUICE_BOOTSTRAP_UNSUPPORTED',
      /unknown digest algorithm 7/,
    ],
    [
      'a section outside of it',
      changed((copy) => copy.setBigUint64(footer + footerFields.chunkMapsOffset, 2n ** 64n - 1n, true)),
      'SLUICE_BOOTSTRAP_INVALID',
      /section "chunkMaps" lies outside/,
    ],
    [
      'a chunk too many',
      changed((copy) =>
        copy.setUint32(section('devices') + 2 * DEVICE_RECORD_SIZE + deviceFields.chunkCount, 41, true),
      ),
      'SLUICE_BOOTSTRAP_INVALID',
      /its chunk maps are cut short/,
    ],
    [
      'chunks that do not fill their device',
      changed((copy) => copy.setUint8(section('chunkMaps'), 3)),
      'SLUICE_BOOTSTRAP_INVALID',
      /device 0 has 11 blocks, but its chunks 49152 bytes/,
    ],
    [
      'a blob shorter than its frames',
      changed((copy) => copy.setBigUint64(section('devices') + 2 * DEVICE_RECORD_SIZE, 5n, true)),
      'SLUICE_BOOTSTRAP_INVALID',
      /the blob of device 2 has 5 bytes/,
    ],
    [
      'a device record too few',
      changed((copy) => copy.setBigUint64(footer + footerFields.devicesLength, 96n, true)),
      'SLUICE_BOOTSTRAP_INVALID',
      /left over behind its chunk maps/,
    ],
  ])('open() refuses %s', (_, damaged, code, message) => {
    expect(() => Bootstrap.open(damaged, undefined)).toThrow(expect.objectContaining({ code }));
    expect(() => Bootstrap.open(damaged, undefined)).toThrow(message);
  });

  it('open() accepts compatible features it does not know', () => {
    const newer = changed((copy) => copy.setUint32(footer + footerFields.compatFeatures, 0xffff, true));
    expect(Bootstrap.open(newer, undefined).devices.length).toBe(3);
  });
});
