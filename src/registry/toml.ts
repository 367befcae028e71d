import { FormatError } from '../errors.ts';

/** What the part of TOML that is read here can say. */
export type Toml = string | number | boolean | readonly Toml[] | TomlTable;
/** In the order of the file. */
export type TomlTable = Map<string, Toml>;

/** A file of settings for one registry; the cap keeps a wrong path, to a disk image say, from filling memory. */
export const maximumTomlBytes = 256 * 1024;
/** Deepest nesting: `[[[[…` costs a byte a level, and the reader a stack frame. */
const maximumDepth = 16;

const escapes: Readonly<Record<string, string>> = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' };

/**
 * Reads the part of TOML 1.0 that settings need: tables, dotted and quoted keys, strings of one line, whole numbers,
 * booleans, arrays, inline tables, comments. Whatever else there is (dates, fractions, arrays of tables, strings of
 * several lines) is refused: to pass over a setting would be to act against it.
 *
 * @param what - for messages: the file's name
 * @throws {FormatError} SLUICE_CONFIG_INVALID with the line
 */
export function parseToml(text: string, what: string): TomlTable {
  return new Parser(text, what).document();
}

class Parser {
  readonly #text: string;
  readonly #what: string;
  #at = 0;
  /** Tables that a header named: a second header for one of them is a mistake. */
  readonly #named = new Set<TomlTable>();

  constructor(text: string, what: string) {
    this.#text = text.replace(/^\ufeff/, '');
    this.#what = what;
    if (text.length > maximumTomlBytes) throw this.#error(`more than ${maximumTomlBytes} characters`);
  }

  document(): TomlTable {
    const root: TomlTable = new Map();
    let table = root;
    for (this.#skipLines(); this.#at < this.#text.length; this.#skipLines()) {
      if (this.#takes('[')) table = this.#header(root);
      else this.#assignment(table, 0);
      this.#match(/[ \t]*(?:#[^\r\n]*)?/y);
      if (this.#at < this.#text.length && !this.#match(/\r?\n/y)) throw this.#error('want the end of the line');
    }
    return root;
  }

  #header(root: TomlTable): TomlTable {
    if (this.#takes('[')) throw this.#error('arrays of tables are not supported');
    const keys = this.#keys();
    this.#expect(']');
    const table = this.#descend(root, keys);
    if (this.#named.has(table)) throw this.#error(`table "${keys.join('.')}" is there twice`);
    this.#named.add(table);
    return table;
  }

  #assignment(table: TomlTable, depth: number): void {
    const keys = this.#keys();
    this.#expect('=');
    const last = keys.pop() ?? '';
    const holder = this.#descend(table, keys);
    if (holder.has(last)) throw this.#error(`"${last}" is there twice`);
    holder.set(last, this.#value(depth));
  }

  #descend(from: TomlTable, keys: readonly string[]): TomlTable {
    let table = from;
    for (const key of keys) {
      const next = table.get(key) ?? new Map<string, Toml>();
      if (!(next instanceof Map)) throw this.#error(`"${key}" is no table`);
      table.set(key, next);
      table = next;
    }
    return table;
  }

  #keys(): string[] {
    const keys: string[] = [];
    do {
      this.#skipBlanks();
      keys.push(this.#string() ?? this.#match(/[A-Za-z0-9_-]+/y) ?? this.#fail('want a key'));
      if (keys.length > maximumDepth) throw this.#error(`nested deeper than ${maximumDepth}`);
      this.#skipBlanks();
    } while (this.#takes('.'));
    return keys;
  }

  #value(depth: number): Toml {
    if (depth >= maximumDepth) throw this.#error(`nested deeper than ${maximumDepth}`);
    this.#skipBlanks();
    if (this.#takes('[')) return this.#array(depth + 1);
    if (this.#takes('{')) return this.#inlineTable(depth + 1);
    const string = this.#string();
    if (string !== undefined) return string;
    const word = this.#match(/[^\s,\]}#]+/y) ?? '';
    if (word === 'true' || word === 'false') return word === 'true';
    const number = Number(word.replaceAll('_', ''));
    if (/^[+-]?(?:0|[1-9](?:_?\d)*)$/.test(word) && Number.isSafeInteger(number)) return number;
    throw this.#error('want a string, a whole number, a boolean, an array or a table');
  }

  #array(depth: number): Toml[] {
    const values: Toml[] = [];
    for (;;) {
      this.#skipLines();
      if (this.#takes(']')) return values;
      values.push(this.#value(depth));
      this.#skipLines();
      if (this.#takes(',')) continue;
      this.#expect(']');
      return values;
    }
  }

  #inlineTable(depth: number): TomlTable {
    const table: TomlTable = new Map();
    this.#skipBlanks();
    if (this.#takes('}')) return table;
    do this.#assignment(table, depth);
    while (this.#takesAfterBlanks(','));
    this.#expect('}');
    return table;
  }

  /** A string of one line, in either kind of quotes; undefined when there is none here. */
  #string(): string | undefined {
    if (this.#match(/"""|'''/y)) throw this.#error('strings of several lines are not supported');
    const literal = this.#match(/'[^'\r\n]*'/y);
    if (literal !== undefined) return literal.slice(1, -1);
    const basic = this.#match(/"(?:[^"\\\r\n]|\\[^\r\n])*"/y);
    return basic?.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/gs, (_, escaped: string) => {
      if (escaped.length > 1) return this.#character(Number.parseInt(escaped.slice(1), 16));
      return escapes[escaped] ?? this.#fail(`unknown escape "\\${escaped}"`);
    });
  }

  #character(code: number): string {
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) throw this.#error('an escape is no character');
    return String.fromCodePoint(code);
  }

  #skipBlanks(): void {
    this.#match(/[ \t]*/y);
  }

  #skipLines(): void {
    this.#match(/(?:[ \t\r\n]|#[^\r\n]*)*/y);
  }

  #takesAfterBlanks(character: string): boolean {
    this.#skipBlanks();
    return this.#takes(character);
  }

  #takes(character: string): boolean {
    const isHere = this.#text[this.#at] === character;
    if (isHere) this.#at++;
    return isHere;
  }

  #expect(character: string): void {
    if (!this.#takesAfterBlanks(character)) throw this.#error(`want "${character}"`);
  }

  /** @param pattern - sticky; one that matches nothing gives `''` */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #fail(why: string): never {
    throw this.#error(why);
  }

  #error(why: string): FormatError {
    const line = this.#text.slice(0, this.#at).split('\n').length;
    return new FormatError('SLUICE_CONFIG_INVALID', `Cannot read "${this.#what}": line ${line}: ${why}`);
  }
}
