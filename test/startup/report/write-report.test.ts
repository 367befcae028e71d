import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { writeReport } from '../../../src/startup/report/write-report.ts';
import { makeTemporaryDirectory, removeTemporaryDirectory } from '../../support/temporary.ts';
import { has } from '../../support/tools.ts';
import { sampleResult } from './sample-result.ts';

const folder = makeTemporaryDirectory();
afterAll(() => removeTemporaryDirectory(folder));

describe('writeReport()', () => {
  it('draws one bar a lane, one line a lane, and a square a chunk', () => {
    const page = writeReport(sampleResult());
    expect(page.match(/<polyline/g)).toHaveLength(5);
    for (const lane of sampleResult().lanes) expect(page).toContain(`>${lane}</text>`);
    expect(page.match(/class="unread"/g)?.length).toBeGreaterThan(2 * (490 - 120));
    expect(page).toContain('nydusd is not installed');
  });

  it('draws no map for a start that fetched pages only', () => {
    const result = sampleResult();
    const chunks = { counts: [400, 90], arrivals: [] };
    const samples = result.samples.map((sample) => (sample.lane === 'sluice-traced' ? { ...sample, chunks } : sample));
    const page = writeReport({ ...result, samples });
    expect(page).toContain('sluice-traced: no whole chunk was fetched');
    expect(page.match(/<svg/g)).toHaveLength(3);
  });

  it('asks for nothing from anywhere', () => {
    expect(writeReport(sampleResult())).not.toMatch(/https?:|src=|@import|url\(/);
  });

  it('shows names as text, whatever is in them', () => {
    const result = sampleResult();
    const evil = `<script>alert("x")</script>`;
    const lanes = [evil];
    const samples = result.samples.slice(0, 1).map((sample) => ({ ...sample, lane: evil }));
    const page = writeReport({ ...result, lanes, samples, skipped: [{ lane: evil, reason: evil }] });
    expect(page).not.toContain('<script');
    expect(page).toContain('&#60;script');
  });

  it('says so when nothing got ready', () => {
    const result = sampleResult();
    const samples = result.samples.map((sample) => ({ ...sample, error: 'it died' }));
    const page = writeReport({ ...result, samples });
    expect(page).toContain('No start got ready');
    expect(page).toContain('containerd failed: it died');
  });
});

/** What a page looks like after a real browser has read it, and what that complained about. */
function browse(name: string, page: string): { dom: string; complaints: string[] } {
  const file = path.join(folder, `${name}.html`);
  writeFileSync(file, page);
  const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
  const own = ['--no-sandbox', '--disable-component-update', '--disable-sync', `--user-data-dir=${folder}/${name}`];
  const address = pathToFileURL(file).href;
  const output = ['--enable-logging=stderr', '--dump-dom', address];
  const { status, stdout, stderr } = spawnSync('chromium', ['--headless', ...quiet, ...own, ...output], {
    encoding: 'utf8',
    timeout: 60_000,
    maxBuffer: 64 << 20,
  });
  expect(status, stderr).toBe(0);
  return { dom: stdout, complaints: stderr.split('\n').filter((line) => /CONSOLE[:(]/.test(line)) };
}

describe.skipIf(!has('chromium'))('the report in a real browser', () => {
  it('is laid out without a complaint on the console', () => {
    const { dom, complaints } = browse('report', writeReport(sampleResult()));
    expect(complaints).toEqual([]);
    expect(dom.match(/<svg/g)).toHaveLength(4);
    expect(dom).toContain('How soon a container is ready');
  });

  it('would show a complaint', () => {
    const broken = writeReport(sampleResult()).replace('<h1>', '<script>undefinedFunction()</script><h1>');
    expect(browse('broken', broken).complaints.join()).toContain('undefinedFunction is not defined');
  });
});
