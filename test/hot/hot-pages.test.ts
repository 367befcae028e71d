import { describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/chunk/parameters.ts';
import { pageKey } from '../../src/hot/groups.ts';
import { HotPages } from '../../src/hot/hot-pages.ts';
import { HotView } from '../../src/hot/hot-view.ts';
import { content } from '../support/content.ts';

const runs = [
  { key: pageKey(0, 5), pages: 2, slot: 3 },
  { key: pageKey(0, 7), pages: 1, slot: 0 },
  { key: pageKey(1, 0), pages: 2, slot: 1 },
];
const bytes = content('slots', 5 * PAGE_SIZE);
const slots = (first: number, last: number): Uint8Array => bytes.subarray(first * PAGE_SIZE, last * PAGE_SIZE);
const patient = { indexMs: 20_000, stallMs: 20_000, totalMs: 20_000 };

function announced(patience = patient, capacity = 5): HotPages {
  const pages = new HotPages(capacity, patience);
  pages.announce(runs);
  return pages;
}

const local = (pages: HotPages, device: number, offset: number, length: number): Uint8Array | undefined => {
  const target = new Uint8Array(length);
  return new HotView(pages.descriptor).readInto(device, offset, target) ? target : undefined;
};

describe('HotView', () => {
  it('lists what is hot of some bytes, cut to them, and says what of it is there', () => {
    const pages = new HotPages(5);
    const view = new HotView(pages.descriptor);
    expect(view.isAnnounced).toBe(false);
    pages.announce(runs);
    expect(view.isAnnounced).toBe(true);
    expect(view.pieces(0, 0, 100 * PAGE_SIZE)).toEqual([
      { offset: 5 * PAGE_SIZE, slot: 3, pages: 2 },
      { offset: 7 * PAGE_SIZE, slot: 0, pages: 1 },
    ]);
    expect(view.pieces(0, 6 * PAGE_SIZE, PAGE_SIZE + 1)).toEqual([
      { offset: 0, slot: 4, pages: 1 },
      { offset: PAGE_SIZE, slot: 0, pages: 1 },
    ]);
    expect(view.pieces(0, 8 * PAGE_SIZE, PAGE_SIZE)).toEqual([]);
    expect(view.pieces(2, 0, PAGE_SIZE)).toEqual([]);
    pages.append(slots(0, 3));
    const [first, second] = view.pieces(1, 0, 2 * PAGE_SIZE).concat(view.pieces(0, 5 * PAGE_SIZE, 1));
    expect(first && view.isReady(first)).toBe(true);
    expect(first && view.content(first.slot, 100)).toEqual(bytes.subarray(PAGE_SIZE, PAGE_SIZE + 100));
    expect(second && view.isReady(second)).toBe(false);
  });

  it('has nothing before the index, and no page before it was filled', () => {
    const pages = new HotPages(5);
    const view = new HotView(pages.descriptor);
    const target = new Uint8Array(10);
    expect(view.readInto(0, 7 * PAGE_SIZE, target)).toBe(false);
    pages.announce(runs);
    expect(view.readInto(0, 7 * PAGE_SIZE, target)).toBe(false);
    pages.append(slots(0, 1));
    expect(view.readInto(0, 7 * PAGE_SIZE, target)).toBe(true);
    expect(target).toEqual(bytes.slice(0, 10));
    expect(view.readInto(1, 0, target)).toBe(false);
  });

  it('reads over the borders of pages and of runs whose slots lie apart', () => {
    const pages = announced();
    pages.append(slots(0, 5));
    const all = Buffer.concat([slots(3, 5), slots(0, 1)]);
    expect(local(pages, 0, 5 * PAGE_SIZE, 3 * PAGE_SIZE)).toEqual(Uint8Array.from(all));
    expect(local(pages, 0, 6 * PAGE_SIZE - 100, 2 * PAGE_SIZE)).toEqual(
      Uint8Array.from(all.subarray(PAGE_SIZE - 100, 3 * PAGE_SIZE - 100)),
    );
  });

  it.each([
    ['the page before a run', 0, 4 * PAGE_SIZE, 10],
    ['what reaches behind the last run', 0, 7 * PAGE_SIZE, PAGE_SIZE + 1],
    ['a device that is not there', 2, 0, 1],
    ['what goes on in the next device', 0, 2 ** 44 - 1, 2],
  ])('does not have %s', (_, device, offset, length) => {
    const pages = announced();
    pages.append(slots(0, 5));
    expect(local(pages, device, offset, length)).toBeUndefined();
  });

  it('does not have what there was no room for', () => {
    const pages = announced(patient, 4);
    pages.append(slots(0, 3));
    expect(local(pages, 1, 0, 2 * PAGE_SIZE)).toBeDefined();
    expect(new HotView(pages.descriptor).declares(0, 5 * PAGE_SIZE, 1)).toBe(false);
  });
});

describe('HotPages.read()', () => {
  it('waits for pages that are on their way', async () => {
    const pages = new HotPages(5, patient);
    const read = pages.read(1, PAGE_SIZE, PAGE_SIZE);
    pages.announce(runs);
    pages.append(slots(0, 1));
    pages.append(slots(1, 3));
    expect(await read).toEqual(Uint8Array.from(slots(2, 3)));
  });

  it('does not wait for what will not come', async () => {
    expect(await announced().read(0, 4 * PAGE_SIZE, PAGE_SIZE)).toBeUndefined();
    expect(await announced().read(0, 7 * PAGE_SIZE, 2 * PAGE_SIZE)).toBeUndefined();
  });

  it('lets go of everybody at the end', async () => {
    const pages = announced();
    const read = pages.read(1, 0, 1);
    pages.end();
    expect(await read).toBeUndefined();
    expect(await pages.read(1, 0, 1)).toBeUndefined();
  });

  it.each([
    ['the index does not come', new HotPages(5, { ...patient, indexMs: 20 })],
    ['no byte comes', announced({ ...patient, stallMs: 20 })],
    ['the page does not come', announced({ ...patient, totalMs: 20 })],
  ])('gives up when %s', async (_, pages) => {
    expect(await pages.read(1, 0, 1)).toBeUndefined();
  });

  it('waits on while bytes come', async () => {
    const pages = announced({ ...patient, stallMs: 500 });
    const read = pages.read(1, 0, 1);
    const bytesArrive = setInterval(() => pages.touch(), 10);
    const first = await Promise.race([read, new Promise((resolve) => setTimeout(resolve, 800, 'waiting'))]);
    clearInterval(bytesArrive);
    expect(first).toBe('waiting');
    expect(await read).toBeUndefined();
  });
});
