import { describe, expect, it } from 'vitest';
import { checksumOf } from '../../src/tar/numbers.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/tar/writer.ts';
import { applyLayer } from '../../src/tree/apply-layer.ts';
import { emptyDirectory } from '../../src/tree/layer-path.ts';
import { layerEntryFromTar } from '../../src/tree/tar-entry.ts';
import { fuzz } from '../support/fuzz.ts';
import { extension, parseTar, patched, pax, tarEntry, writeTar } from '../tar/archives.ts';

const header = tarHeader(tarEntry('etc/file', 'file', { size: 5 }));
const content = Buffer.concat([Buffer.from('hello'), tarPadding(5)]);
const oldSparse = patched(
  header,
  [156, 'S'],
  [257, 'ustar  \0'],
  [386, '00000000000\x0000000000005\0'],
  [482, '\x01'],
  [483, '00000000100\0'],
);

/** One archive with everything the reader knows. */
const archive = Buffer.concat([
  writeTar([
    { entry: tarEntry('etc/', 'directory'), content: Buffer.alloc(0) },
    { entry: tarEntry('etc/null', 'char', { major: 1, minor: 3 }), content: Buffer.alloc(0) },
  ]).subarray(0, -1024),
  pax([
    ['path', 'etc/long'],
    ['mtime', '-1.5'],
    ['uid', '70000'],
    ['SCHILY.xattr.user.a', 'b'],
    ['LIBARCHIVE.xattr.user.%41', 'AAA='],
  ]),
  header,
  content,
  extension('L', `${'etc/l'.repeat(30)}\0`),
  extension('K', `${'etc/k'.repeat(30)}\0`),
  tarHeader(tarEntry('short', 'symlink', { linkTarget: 'etc' as never })),
  pax([
    ['GNU.sparse.size', '20'],
    ['GNU.sparse.numblocks', '2'],
    ['GNU.sparse.map', '0,3,10,2'],
  ]),
  header,
  content,
  oldSparse,
  Buffer.alloc(512),
  content,
  tarHeader(tarEntry('etc/sparse', 'file', { size: 40, sparse: [{ offset: 3, length: 5 }] })),
  content,
  tarHeader(tarEntry('etc/hard', 'hardlink', { linkTarget: 'etc/file' as never })),
  tarHeader(tarEntry('etc/.wh.file', 'file')),
  tarHeader(tarEntry('etc/.wh..wh..opq', 'file')),
  tarEnd,
]);

function read(bytes: Uint8Array): void {
  const members = parseTar(bytes, 700);
  applyLayer(
    emptyDirectory(),
    members.map(({ entry }) => layerEntryFromTar(entry, [])),
  );
}

/** Makes the checksums right again, so that damage gets past them; at every block, since any may be taken for a header. */
function readBehindChecksums(bytes: Uint8Array): void {
  const repaired = Buffer.from(bytes);
  for (let at = 0; at + 512 <= repaired.length; at += 512) {
    const block = repaired.subarray(at, at + 512);
    if (block[156] !== 0) block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  read(repaired);
}

describe('TarParser and applyLayer()', () => {
  it('read the sample', () => {
    expect(() => read(archive)).not.toThrow();
    expect(parseTar(archive).length).toBe(10);
  });

  it('take any bytes, or throw a SluiceError', () => {
    expect(fuzz(8_000, archive, read)).toBeGreaterThan(0);
  });

  it('take any bytes behind right checksums, or throw a SluiceError', () => {
    expect(fuzz(12_000, archive, readBehindChecksums)).toBeGreaterThan(0);
  });
});
