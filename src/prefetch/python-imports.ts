import type { ByteString } from '../byte-string.ts';

/** One name that a module imports as it is loaded. */
export interface PythonImport {
  /** Dots before the name: 0 for an absolute import. */
  readonly level: number;
  /** Names between dots; may be empty after dots. */
  readonly names: readonly string[];
  /** `from NAME import THESE`: each may be a module, or a name in one. */
  readonly members: readonly string[];
}

/** Stops a file of nothing but imports. */
const MAXIMUM_IMPORTS = 512;

/** A longer line is data. */
const MAXIMUM_LINE = 512;

const identifier = /^\w+$/;

/**
 * Finds what a Python source file imports when it is loaded: statements at its top level, and those in a `try` there.
 * What functions import comes later or never. Source: The Python Language Reference, 7.11.
 * @param text - of the file, or its beginning
 */
export function findPythonImports(text: ByteString): PythonImport[] {
  const found: PythonImport[] = [];
  let isTried = false;
  for (const line of text.split('\n')) {
    const isTop = /^[^\s#]/.test(line);
    if (isTop) isTried = /^(try|except|else|finally)\b/.test(line);
    if ((!isTop && !isTried) || line.length > MAXIMUM_LINE || found.length >= MAXIMUM_IMPORTS) continue;
    found.push(...importsIn(line.replace(/#.*/, '').trim()));
  }
  return found;
}

function importsIn(statement: string): PythonImport[] {
  const [, dots = '', module = '', members = ''] = /^from\s+(\.*)([\w.]*)\s+import\s+(.*)$/.exec(statement) ?? [];
  if (dots !== '' || module !== '') {
    const names = module === '' ? [] : module.split('.');
    return [{ level: dots.length, names, members: firstWords(members.replace(/[()\\]/g, '')) }];
  }
  const [, list] = /^import\s+(.*)$/.exec(statement) ?? [];
  return firstWords(list ?? '').map((name) => ({ level: 0, names: name.split('.'), members: [] }));
}

/** `a.b as c, d` → `a.b`, `d`. */
function firstWords(list: string): string[] {
  const words = list.split(',').map((part) => part.trim().split(/\s/, 1)[0] ?? '');
  return words.filter((word) => word.split('.').every((name) => identifier.test(name)));
}
