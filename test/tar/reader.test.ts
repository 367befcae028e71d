import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { TarParser } from '../../src/tar/reader.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/tar/writer.ts';
import { extension, parseTar, patched, pax, tarEntry, writeTar } from './archives.ts';

const file = tarEntry('file', 'file', { size: 5 });
const content = Buffer.concat([Buffer.from('hello'), tarPadding(5)]);
const fileHeader = tarHeader(file);
const emptyHeader = tarHeader(tarEntry('file', 'file'));

/** The only entry of an archive made of these parts and an end. */
function only(...parts: Uint8Array[]) {
  const members = parseTar(Buffer.concat([...parts, tarEnd]));
  expect(members).toHaveLength(1);
  return members[0]!.entry;
}

function codeOf(...parts: Uint8Array[]): string {
  try {
    parseTar(Buffer.concat(parts));
  } catch (error) {
    if (error instanceof FormatError) return error.code;
    throw error;
  }
  return 'none';
}

describe('TarParser', () => {
  it('gives the same entries however the archive is cut', () => {
    const archive = Buffer.concat([
      pax([['path', 'p'.repeat(600)]]),
      fileHeader,
      content,
      extension('L', `${'l'.repeat(700)}\0`),
      emptyHeader,
      tarEnd,
    ]);
    const whole = parseTar(archive);
    expect(whole.map(({ entry }) => entry.path)).toEqual(['p'.repeat(600), 'l'.repeat(700)]);
    for (const step of [1, 7, 511, 512, 513, 1000]) expect(parseTar(archive, step)).toEqual(whole);
  });

  it('hands out views of what was pushed, not copies', () => {
    const archive = writeTar([{ entry: file, content: Buffer.from('hello') }]);
    const seen: Uint8Array[] = [];
    const parser = new TarParser({ entry() {}, data: (data) => seen.push(data), endEntry() {} });
    parser.push(archive);
    expect(seen).toHaveLength(1);
    expect(seen[0]?.buffer).toBe(archive.buffer);
    expect(seen[0]?.byteOffset).toBe(archive.byteOffset + 512);
  });
});

describe('TarParser end of archive', () => {
  it.each([
    ['two zero blocks', [fileHeader, content, tarEnd]],
    ['one zero block', [fileHeader, content, tarEnd.subarray(512)]],
    ['no zero block', [fileHeader, content]],
    ['no padding', [fileHeader, Buffer.from('hello')]],
    ['garbage after it', [fileHeader, content, tarEnd, Buffer.from('garbage'.repeat(200))]],
    ['another archive after it', [fileHeader, content, tarEnd, fileHeader, content]],
  ])('%s', (_, parts) => {
    expect(parseTar(Buffer.concat(parts)).map((member) => member.content.toString())).toEqual(['hello']);
  });

  it.each([
    ['within a header', [fileHeader.subarray(0, 300)]],
    ['before the content', [fileHeader]],
    ['within the content', [fileHeader, Buffer.from('hell')]],
    ['within a PAX header', [pax([['path', 'x']]).subarray(0, 520)]],
    ['after one zero block, within the next', [tarEnd.subarray(0, 700)]],
  ])('fails when truncated %s', (_, parts) => {
    expect(codeOf(...parts)).toBe('SLUICE_TAR_INVALID');
  });

  it('is empty for no bytes and for zeros alone', () => {
    expect(parseTar(Buffer.alloc(0))).toEqual([]);
    expect(parseTar(tarEnd)).toEqual([]);
  });
});

describe('TarParser header fields', () => {
  it.each([
    ['octal between spaces', [124, '         5 \0'], { size: 5 }],
    ['octal without an end', [124, '000000000005'], { size: 5 }],
    ['base 256', [124, `\x80${'\0'.repeat(10)}\x05`], { size: 5 }],
    ['an empty field', [108, '\0'.repeat(8)], { uid: 0 }],
    ['base 256 uid', [108, '\x80\0\0\0\xee\x6b\x28\0'], { uid: 4_000_000_000 }],
    ['negative base 256 uid, made of a large one', [108, '\xff\xff\xff\xff\xff\xff\xff\xfe'], { uid: 0xffff_fffe }],
    ['uid -1, which chown leaves alone', [108, '\xff'.repeat(8)], { uid: 0 }],
    ['negative base 256 mtime', [136, '\xff'.repeat(11).concat('\xf0')], { mtime: -16 }],
    ['more mode bits than permissions', [100, '0100755\0'], { mode: 0o755 }],
  ] as const)('%s', (_, patch, expected) => {
    expect(only(patched(fileHeader, [...patch]), content)).toMatchObject(expected);
  });

  it.each([
    ['a digit 8', [124, '00000000008\0']],
    ['text', [108, 'nobody\0\0']],
    ['beyond 2^53', [124, `\x80\0\0\0\x7f${'\xff'.repeat(7)}`]],
    ['a negative size', [124, '\xff'.repeat(12)]],
    ['a uid beyond 32 bits', [108, '\x80\0\0\x01\0\0\0\0']],
  ] as const)('fails on %s', (_, patch) => {
    expect(codeOf(patched(fileHeader, [...patch]), content)).toBe('SLUICE_TAR_INVALID');
  });

  it('takes the checksum of signed bytes, and no wrong one', () => {
    const signed = patched(emptyHeader, [0, 'f\xef']);
    const unsignedSum = Number.parseInt(signed.toString('latin1', 148, 154), 8);
    signed.write(`${(unsignedSum - 256).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    expect(only(signed).path).toBe('f\xefle');
    signed[0] = (signed[0] ?? 0) + 1;
    expect(codeOf(signed)).toBe('SLUICE_TAR_INVALID');
  });

  it.each([
    ['ustar', [[345, 'prefix']], 'prefix/file'],
    ['ustar of full length', [[345, 'p'.repeat(155)]], `${'p'.repeat(155)}/file`],
    [
      'star',
      [
        [345, `${'p'.repeat(131)}00000000000\x0000000000000`],
        [508, 'tar\0'],
      ],
      `${'p'.repeat(131)}/file`,
    ],
    [
      'v7',
      [
        [257, '\0'.repeat(8)],
        [345, 'prefix'],
      ],
      'file',
    ],
    [
      'gnu with times',
      [
        [257, 'ustar  \0'],
        [345, '14524770000\x0014524770000'],
      ],
      'file',
    ],
    [
      'gnu of a writer that mistook it',
      [
        [257, 'ustar  \0'],
        [345, '2015/prefix'],
      ],
      '2015/prefix/file',
    ],
  ] as const)('prefix of %s', (_, patches, path) => {
    expect(only(patched(emptyHeader, ...patches.map(([at, text]) => [at, text] as [number, string]))).path).toBe(path);
  });
});

describe('TarParser types', () => {
  it.each([
    ['0', 'file', 'file'],
    ['\0', 'file', 'file'],
    ['7', 'file', 'file'],
    ['\0', 'old/', 'directory'],
    ['0', 'odd/', 'file'],
    ['1', 'file', 'hardlink'],
    ['2', 'file', 'symlink'],
    ['3', 'file', 'char'],
    ['4', 'file', 'block'],
    ['5', 'file', 'directory'],
    ['6', 'file', 'fifo'],
  ])('type %j of %j', (flag, path, type) => {
    expect(only(patched(emptyHeader, [0, path.padEnd(8, '\0')], [156, flag])).type).toBe(type);
  });

  it.each(['1', '2', '3', '4', '5', '6'])('type %s has no content, whatever its size says', (flag) => {
    const entry = only(patched(fileHeader, [156, flag]));
    expect(entry.size).toBe(0);
  });

  it.each(['A', 'D', 'M', 'Z', '8', '\x01'])('fails on type %j, which containerd refuses too', (flag) => {
    expect(codeOf(patched(emptyHeader, [156, flag]))).toBe('SLUICE_TAR_INVALID');
  });

  it("skips GNU tar's volume label, and the extensions in front of it", () => {
    const label = patched(fileHeader, [0, 'name'], [156, 'V']);
    expect(only(pax([['path', 'long label']]), label, content, emptyHeader).path).toBe('file');
  });

  it('reads device numbers', () => {
    const entry = only(tarHeader(tarEntry('null', 'char', { major: 240, minor: 70_000 })));
    expect(entry).toMatchObject({ major: 240, minor: 70_000 });
    expect(codeOf(patched(tarHeader(entry), [329, '0010000\0']))).toBe('SLUICE_TAR_LIMIT');
  });
});

describe('TarParser extended headers', () => {
  const long = 'a/'.repeat(200);

  it.each([
    ['PAX path over the header', [pax([['path', long]])], long],
    ['the last PAX header of several', [pax([['path', 'first']]), pax([['path', 'second']])], 'second'],
    [
      'the last record of several',
      [
        pax([
          ['path', 'first'],
          ['path', 'second'],
        ]),
      ],
      'second',
    ],
    ['the header over an empty PAX value', [pax([['path', '']])], 'file'],
    ['GNU long name over PAX', [extension('L', `${long}\0`), pax([['path', 'pax']])], long],
    ['the last GNU long name of several', [extension('L', 'first\0'), extension('L', 'second\0')], 'second'],
    ['a GNU long name without its NUL', [extension('L', 'name')], 'name'],
    ['nothing from a global header', [pax([['path', 'global']], 'g')], 'file'],
    ['nothing from before a global header', [pax([['path', 'pax']]), pax([['comment', 'c']], 'g')], 'file'],
    ['an empty extended header', [extension('x', '')], 'file'],
  ])('takes %s', (_, parts, path) => {
    expect(only(...parts, emptyHeader).path).toBe(path);
  });

  it('applies to the next entry alone', () => {
    const members = parseTar(
      Buffer.concat([
        pax([
          ['path', 'x'],
          ['uid', '7'],
        ]),
        emptyHeader,
        emptyHeader,
      ]),
    );
    expect(members.map(({ entry: { path, uid } }) => [path, uid])).toEqual([
      ['x', 7],
      ['file', 0],
    ]);
  });

  it.each([
    ['1700000000.5', 1_700_000_000, 500_000_000],
    ['1700000000.123456789999', 1_700_000_000, 123_456_789],
    ['-1.5', -2, 500_000_000],
    ['-0.25', -1, 750_000_000],
    ['-3', -3, 0],
    ['-3.000', -3, 0],
    ['0.000000001', 0, 1],
    ['17.', 17, 0],
  ])('mtime %s', (text, mtime, mtimeNs) => {
    expect(only(pax([['mtime', text]]), emptyHeader)).toMatchObject({ mtime, mtimeNs });
  });

  it('takes size, uid and gid beyond octal', () => {
    const records = [
      ['size', '5'],
      ['uid', '4000000000'],
      ['gid', '4294967294'],
    ] as const;
    expect(only(pax(records), emptyHeader, content)).toMatchObject({ size: 5, uid: 4_000_000_000, gid: 4_294_967_294 });
  });

  it('takes a symbolic link target of either kind', () => {
    const link = patched(emptyHeader, [156, '2'], [157, 'short']);
    expect(only(link).linkTarget).toBe('short');
    expect(only(pax([['linkpath', long]]), link).linkTarget).toBe(long);
    expect(only(extension('K', `${long}\0`), pax([['linkpath', 'pax']]), link).linkTarget).toBe(long);
  });

  it('takes xattrs raw and encoded, the raw one over the other', () => {
    const { xattrs } = only(
      pax([
        ['LIBARCHIVE.xattr.user.both', Buffer.from('encoded').toString('base64')],
        ['SCHILY.xattr.user.both', 'raw'],
        ['SCHILY.xattr.user.lines', 'a\nb=c\n\0'],
        ['SCHILY.xattr.user.empty', ''],
        ['LIBARCHIVE.xattr.user.%C3%A9%25', Buffer.from([0, 255]).toString('base64')],
      ]),
      emptyHeader,
    );
    expect([...xattrs].map(([name, value]) => [name, Buffer.from(value).toString('latin1')])).toEqual([
      ['user.both', 'raw'],
      ['user.lines', 'a\nb=c\n\0'],
      ['user.empty', ''],
      ['user.\xc3\xa9%', '\0\xff'],
    ]);
  });

  it.each([
    ['a length that is no number', extension('x', 'ab path=x\n')],
    ['a length that leads out of the header', extension('x', '99 path=x\n')],
    ['a length too short', extension('x', '3 path=x\n')],
    ['no space after a record', extension('x', '8 a=bcd\nrest')],
    ['no equals sign', extension('x', '8 path \n')],
    ['no newline', extension('x', '9 path=xy')],
    ['a NUL in a path', pax([['path', 'a\0b']])],
    ['a NUL in a keyword', pax([['a\0b', 'c']])],
    ['an mtime that is none', pax([['mtime', '1e9']])],
    ['a negative size', pax([['size', '-1']])],
    ['a global header that is none', extension('g', 'nonsense')],
  ])('fails on %s', (_, part) => {
    expect(codeOf(part, emptyHeader)).toBe('SLUICE_TAR_INVALID');
  });
});

describe('TarParser limits', () => {
  const xattrs = (count: number, name: string, value: string) =>
    pax(Array.from({ length: count }, (_, index) => [`SCHILY.xattr.user.${name}${index}`, value] as const));

  it.each([
    ['a PAX header', patched(fileHeader, [124, '00100000000\0'], [156, 'x'])],
    ['a GNU long name', patched(fileHeader, [124, '00000200001\0'], [156, 'L'])],
    ['a path', pax([['path', 'p'.repeat(65_536)]])],
    ['the number of xattrs', xattrs(1025, '', 'v')],
    ['the length of an xattr', xattrs(1, '', 'v'.repeat(65_537))],
    ['the length of an xattr name', xattrs(1, 'n'.repeat(255), 'v')],
    [
      'the number of sparse runs',
      Buffer.concat([
        pax([
          ['GNU.sparse.major', '1'],
          ['GNU.sparse.minor', '0'],
          ['size', '1024'],
        ]),
        fileHeader,
        Buffer.from('1048577\n'.padEnd(512, '\0')),
      ]),
    ],
  ])('%s', (_, part) => {
    expect(codeOf(part, emptyHeader)).toBe('SLUICE_TAR_LIMIT');
  });
});

describe('TarParser sparse files', () => {
  const map = '2\n0\n3\n10\n2\n'.padEnd(512, '\0');
  const version1 = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'name'],
    ['GNU.sparse.realsize', '20'],
  ] as const;
  const stored517 = patched(fileHeader, [124, '00000001005\0']);

  it('reads PAX 1.0, the map in front of the content', () => {
    const [member] = parseTar(Buffer.concat([pax(version1), stored517, Buffer.from(map), content, tarEnd]), 100);
    expect(member?.entry).toMatchObject({
      path: 'name',
      size: 20,
      sparse: [
        { offset: 0, length: 3 },
        { offset: 10, length: 2 },
      ],
    });
    expect(member?.content.toString()).toBe('hello');
  });

  it.each([
    [
      '0.0',
      [
        ['GNU.sparse.size', '20'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.offset', '0'],
        ['GNU.sparse.numbytes', '3'],
        ['GNU.sparse.offset', '10'],
        ['GNU.sparse.numbytes', '2'],
      ],
    ],
    [
      '0.1',
      [
        ['GNU.sparse.size', '20'],
        ['GNU.sparse.numblocks', '2'],
        ['GNU.sparse.map', '0,3,10,2'],
        ['GNU.sparse.name', 'name'],
      ],
    ],
    [
      '0.1 with an empty last run',
      [
        ['GNU.sparse.size', '20'],
        ['GNU.sparse.numblocks', '3'],
        ['GNU.sparse.map', '0,3,10,2,20,0'],
      ],
    ],
  ] as const)('reads PAX %s, the map in the records', (_, records) => {
    const entry = only(pax(records), fileHeader, content);
    expect(entry).toMatchObject({
      size: 20,
      sparse: [
        { offset: 0, length: 3 },
        { offset: 10, length: 2 },
      ],
    });
  });

  it.each([
    ['overlap', '0,3,2,2'],
    ['descend', '10,3,0,2'],
    ['lead out of the file', '0,3,19,2'],
    ['cover too little', '0,3'],
    ['cover too much', '0,3,10,3'],
    ['are negative', '0,6,10,-1'],
    ['are no numbers', '0,3,x,2'],
    ['come unpaired', '0,3,10'],
  ])('fails on runs that %s', (_, text) => {
    const numblocks = `${Math.floor(text.split(',').length / 2)}`;
    const records = [
      ['GNU.sparse.size', '20'],
      ['GNU.sparse.numblocks', numblocks],
      ['GNU.sparse.map', text],
    ] as const;
    expect(codeOf(pax(records), fileHeader, content, tarEnd)).toBe('SLUICE_TAR_INVALID');
  });

  it.each(['2\n0\n3\n10\n', 'x\n', '\n', '99999999999999999999\n'])('fails on the 1.0 map %j', (text) => {
    const block = Buffer.from(text.padEnd(512, '\0'));
    expect(codeOf(pax(version1), stored517, block, content, tarEnd)).toMatch(/^SLUICE_TAR_(INVALID|LIMIT)$/);
  });

  it('fails on a sparse directory, and on type S of another tar than GNU', () => {
    const records = [
      ['GNU.sparse.size', '0'],
      ['GNU.sparse.numblocks', '0'],
      ['GNU.sparse.map', '0,0'],
    ] as const;
    expect(codeOf(pax(records), patched(emptyHeader, [156, '5']))).toBe('SLUICE_TAR_INVALID');
    expect(codeOf(patched(emptyHeader, [156, 'S']))).toBe('SLUICE_TAR_INVALID');
  });
});
