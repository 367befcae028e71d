import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FinishedLayer, LayerStore } from '../../src/convert/layer-store.ts';
import { digestFromBytes } from '../../src/oci/digest.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../support/temporary.ts';

const key = 'a'.repeat(64);
const layer: FinishedLayer = {
  blob: digestFromBytes(new Uint8Array(32).fill(1)),
  size: 7,
  deviceDigest: digestFromBytes(new Uint8Array(32).fill(2)),
  repositories: ['library/a'],
  metadata: Buffer.from('metadata'),
};

describe('LayerStore', () => {
  let directory: string;
  let store: LayerStore;
  beforeEach(() => {
    directory = makeTemporaryDirectory();
    store = new LayerStore(path.join(directory, 'layers'));
  });
  afterEach(() => removeTemporaryDirectory(directory));

  const recordFile = (): string => path.join(directory, 'layers', key, 'record.json');

  async function addLayer(): Promise<void> {
    const blob = await store.temporaryPath('blob');
    await writeFile(blob, 'content');
    await store.add(key, layer, blob);
  }

  it('keeps a layer and its blob until the blob is pushed, and where it was pushed', async () => {
    expect(await store.find(key)).toBeUndefined();
    await addLayer();
    expect(await store.find(key)).toEqual(layer);
    expect(await readFile(store.blobPath(key), 'utf8')).toBe('content');
    await store.pushed(key, layer, 'library/b');
    expect(await store.hasBlob(key)).toBe(false);
    const found = await new LayerStore(path.join(directory, 'layers')).find(key);
    expect(found?.repositories).toEqual(['library/a', 'library/b']);
  });

  it('sweeps what dead processes left, and nothing else', async () => {
    const alive = await store.temporaryPath('spool');
    await writeFile(alive, 'in use');
    const folder = path.dirname(alive);
    // No process has this number: Linux numbers them up to 2^22.
    const dead = path.join(folder, path.basename(alive).replace(`-${process.pid}-`, `-${2 ** 22 + 1}-`));
    const strange = path.join(folder, 'notes.txt');
    await writeFile(dead, 'left');
    await writeFile(strange, 'not ours');
    await store.sweep();
    expect((await readdir(folder)).sort()).toEqual([path.basename(alive), 'notes.txt'].sort());
  });

  it.each([
    'null',
    '[]',
    '{}',
    '{',
    '1',
    '{"size":1,"repositories":[]}',
    JSON.stringify({ ...layer, metadata: undefined, size: 1.5 }),
    JSON.stringify({ ...layer, metadata: undefined, blob: 'sha256:1' }),
    JSON.stringify({ ...layer, metadata: undefined, deviceDigest: null }),
    JSON.stringify({ ...layer, metadata: undefined, repositories: 'a' }),
  ])('takes the record %s for none', async (record) => {
    await addLayer();
    await writeFile(recordFile(), record);
    expect(await store.find(key)).toBeUndefined();
  });

  it('takes a record without metadata for none', async () => {
    await addLayer();
    await rm(path.join(path.dirname(recordFile()), 'metadata'));
    expect(await store.find(key)).toBeUndefined();
  });

  it('throws what it cannot make sense of: a folder in place of the record', async () => {
    await mkdir(recordFile(), { recursive: true });
    await expect(store.find(key)).rejects.toMatchObject({ code: 'EISDIR' });
  });
});
