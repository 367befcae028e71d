import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const source = fileURLToPath(new URL('../src/', import.meta.url));

/**
 * The architecture: a file imports lower ranks, and its own folder. Ranks 1–3 are pure (no files, sockets, timers).
 * docs/architecture.md shows the same table.
 */
const ranks: readonly (readonly string[])[] = [
  ['errors.ts', 'native.ts', 'version.ts', 'byte-string.ts', 'worker-file.ts', 'package-file.ts', 'atomic-file.ts'],
  ['packed-error.ts', 'digest', 'zstd', 'tar', 'erofs'],
  ['tree', 'chunk', 'oci'],
  ['blob', 'bootstrap'],
  ['registry', 'layout', 'archive', 'cache', 'fetch', 'fuse', 'profile', 'hot', 'holder'],
  ['image', 'transport'],
  ['convert', 'prefetch'],
  ['mount', 'check', 'export', 'optimize'],
  ['runtime', 'control', 'demo', 'metrics', 'log'],
  ['startup', 'daemon'],
  ['cli'],
];
const pureRanks = new Set([1, 2, 3]);
const impure = /^node:(fs|http|https|net|dgram|child_process|timers|worker_threads|tls)/;

const rankOf = new Map(ranks.flatMap((names, rank) => names.map((name) => [name, rank] as const)));

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.relative(source, path.join(entry.parentPath, entry.name)));
}

function importsOf(file: string): string[] {
  const text = readFileSync(path.join(source, file), 'utf8');
  const matches = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g);
  return Array.from(matches, (match) => match[1] ?? '');
}

const top = (file: string): string => file.split('/')[0] ?? file;

describe('layering', () => {
  const files = filesBelow(source);

  it('knows every folder of src/', () => {
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => !rankOf.has(top(file)))).toEqual([]);
  });

  it.each(files)('%s imports lower ranks only', (file) => {
    const rank = rankOf.get(top(file)) ?? -1;
    for (const specifier of importsOf(file)) {
      if (specifier.startsWith('.')) {
        const imported = top(path.join(path.dirname(file), specifier));
        if (imported === top(file)) continue;
        expect(rankOf.get(imported) ?? Number.POSITIVE_INFINITY, `${file} imports ${specifier}`).toBeLessThan(rank);
      } else if (pureRanks.has(rank)) {
        expect(specifier, `${file} is pure`).not.toMatch(impure);
      }
    }
  });
});
