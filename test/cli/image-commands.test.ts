import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openImage } from '../../src/image/open-image.ts';
import { content, sha256Hex } from '../support/content.ts';
import { blobFile, convertInto, flipBit, layoutImage, richImage } from '../support/converted.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const root = makeTemporaryDirectory();
const layout = path.join(root, 'oci');
const damaged = path.join(root, 'damaged', 'oci');
const image = `oci:${layout}:app-sluice`;
const program = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url));
afterAll(() => removeTemporaryDirectory(root));

beforeAll(async () => {
  await convertInto(layout, 'app', await richImage());
  await convertInto(damaged, 'app', await richImage());
  const { blobs, bootstrap } = await openImage(layoutImage(damaged, 'app-sluice'));
  // In the last chunk, which is part of the last large file: var/data.
  await flipBit(blobFile(damaged, blobs[0]!.digest), bootstrap.devices[0]!.chunks.compressedSize - 1);
});

interface Ended {
  readonly status: number | null;
  readonly bytes: Buffer;
  readonly stdout: string;
  readonly stderr: string;
}

function sluice(...args: readonly string[]): Promise<Ended> {
  const env = { ...process.env, SLUICE_CACHE_DIR: path.join(root, 'cache') };
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const out: Buffer[] = [];
  const complaint: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes));
  child.stderr.on('data', (bytes: Buffer) => complaint.push(bytes));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (status) => {
      const bytes = Buffer.concat(out);
      resolve({ status, bytes, stdout: bytes.toString(), stderr: Buffer.concat(complaint).toString() });
    });
  });
}

describe('sluice inspect', () => {
  it('tells digests, blobs and configuration', async () => {
    const { status, stdout } = await sluice('inspect', '--json', image);
    const { raw, root: merkle, blobs } = await openImage(layoutImage(layout, 'app-sluice'));
    expect(status).toBe(0);
    const facts = JSON.parse(stdout);
    expect(facts).toMatchObject({
      manifest: raw.descriptor.digest,
      root: merkle,
      formatVersion: '2',
      platform: 'linux/amd64',
      digestAlgorithm: 'sha256',
      config: { command: ['/bin/true'], labels: { a: 'b' } },
    });
    expect(facts.blobs.map(({ digest, size }: { digest: string; size: number }) => [digest, size])).toEqual(
      blobs.map(({ digest, size }) => [digest, size]),
    );
    expect((await sluice('inspect', image)).stdout).toContain(merkle);
  });

  it('dumps the metadata', async () => {
    const { stdout } = await sluice('inspect', '--dump', image);
    expect(stdout).toMatch(/superblock, checksum/);
    expect(stdout).toContain('file /var/data');
  });

  it('says so when the image is not converted', async () => {
    const { status, stderr } = await sluice('inspect', `oci:${layout}:app`);
    expect(status).toBe(4);
    expect(stderr).toContain('SLUICE_MANIFEST_UNSUPPORTED');
  });
});

describe('sluice ls', () => {
  it('lists names', async () => {
    const { status, stdout } = await sluice('ls', image);
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toEqual(['changed', 'dev', 'etc', 'opaque', 'replaced', 'var']);
  });

  it('shows attributes with -l', async () => {
    const { stdout } = await sluice('ls', '-l', image, '/etc');
    const rows = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(rows).toEqual([
      ['-rwsr-xr-x', '2', '70000', '5', '6', '2023-11-14T22:13:20Z', 'again'],
      ['-rwsr-xr-x', '2', '70000', '5', '6', '2023-11-14T22:13:20Z', 'hello'],
      ['lrwxrwxrwx', '1', '0', '0', '11', '2023-11-14T22:13:20Z', 'link -> ../var/data'],
    ]);
    expect((await sluice('ls', '-l', image, 'dev')).stdout).toMatch(/^crw-rw-rw- .* 1,3 .* null\nprw-------/);
  });

  it('prints every attribute with --json, below with -R', async () => {
    const files = JSON.parse((await sluice('ls', '-R', '--json', image)).stdout);
    const found = new Map(files.map((file: { path: string }) => [file.path, file]));
    expect(found.get('/etc/hello')).toMatchObject({
      type: 'file',
      mode: '04755',
      nlink: 2,
      uid: 70_000,
      xattrs: expect.arrayContaining([{ name: 'user.note', value: '6f6e65' }]),
    });
    expect(found.get('/changed')).toMatchObject({ mtime: 1_700_000_000, mtimeNs: 7 });
    expect(found.get('/dev/null')).toMatchObject({ type: 'character device', major: 1, minor: 3 });
    expect(found.has('/hidden')).toBe(false);
  });

  it('ends with 3 for what is not there', async () => {
    const { status, stderr } = await sluice('ls', '--json', image, '/etc/nothing');
    expect(status).toBe(3);
    expect(JSON.parse(stderr).error.code).toBe('SLUICE_PATH_NOT_FOUND');
  });
});

describe('sluice cat', () => {
  const data = Buffer.from(content('data', 700_000));

  it('prints files one after the other, through symbolic links', async () => {
    const { status, bytes } = await sluice('cat', image, '/etc/hello', 'etc/link', 'var/empty');
    expect(status).toBe(0);
    expect(bytes.equals(Buffer.concat([Buffer.from('hello\n'), data]))).toBe(true);
  });

  it('prints digests with --json', async () => {
    const { stdout } = await sluice('cat', '--json', image, '/var/data');
    expect(JSON.parse(stdout)).toEqual([{ path: '/var/data', size: 700_000, sha256: sha256Hex(data) }]);
  });

  it('refuses a directory, and damaged content with 5', async () => {
    expect((await sluice('cat', image, '/etc')).status).toBe(3);
    const { status, bytes } = await sluice(
      'cat',
      '--cache-dir',
      path.join(root, 'other'),
      `oci:${damaged}:app-sluice`,
      '/var/data',
    );
    expect(status).toBe(5);
    expect(data.subarray(0, bytes.length).equals(bytes)).toBe(true);
  });
});

describe('sluice check', () => {
  it('ends with 0 for a good image, and reads the source', async () => {
    const { status, stdout } = await sluice('check', '--json', '--source', `oci:${layout}:app`, image);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ problemCount: 0, problems: [], source: { isRecorded: true } });
  });

  it('ends with 5 for a damaged one, and names the file', async () => {
    const { status, stdout, stderr } = await sluice('check', `oci:${damaged}:app-sluice`);
    expect(status).toBe(5);
    expect(stdout).toMatch(/Cannot use chunk \d+ of blob "sha256:[0-9a-f]{64}"/);
    expect(stdout).toContain('\n  in /var/data\n');
    expect(stderr).toContain('SLUICE_IMAGE_DAMAGED');
  });
});

describe('sluice export', () => {
  it('writes an image that check finds equal', async () => {
    const exported = `oci:${layout}:exported`;
    const { status, stdout } = await sluice('export', '--json', image, exported);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).layers).toHaveLength(2);
    expect((await sluice('check', '--source', exported, image)).status).toBe(0);
  });

  it('writes the same tar to a file and to stdout', async () => {
    const file = path.join(root, 'tree.tar');
    const { stdout } = await sluice('export', '--json', '--tar', file, image);
    const { bytes } = await sluice('export', '--tar', '-', image);
    expect(JSON.parse(stdout)).toMatchObject({ file, size: bytes.length });
    expect(bytes.includes('replaced/inside')).toBe(true);
  });

  it.each([
    ['neither destination nor tar', []],
    ['both', ['oci:x', '--tar', 'y']],
    ['JSON and a tar on stdout', ['--tar', '-', '--json']],
  ])('refuses %s', async (_, args) => {
    expect((await sluice('export', image, ...args)).status).toBe(2);
  });
});

describe('sluice --help', () => {
  it.each(['inspect', 'ls', 'cat', 'check', 'export'])('shows examples of %s', async (name) => {
    const { status, stdout } = await sluice(name, '--help');
    expect(status).toBe(0);
    expect(stdout).toContain(`Examples:\n  sluice ${name} `);
  });
});
