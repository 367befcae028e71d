/**
 * A string of bytes, one UTF-16 unit (0–255) a byte: file names, paths, link targets and xattr names.
 *
 * Linux names are bytes, not text. This form keeps them exact, compares in byte order with `<`, works as a Map key,
 * and costs V8 one byte a byte.
 */
export type ByteString = string & { readonly ByteString: unique symbol };

/** Takes the bytes of `buffer` (copied). */
export function byteString(buffer: Uint8Array): ByteString {
  return Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength).toString('latin1') as ByteString;
}

/** Encodes text as UTF-8, the way names typed by people arrive. */
export function byteStringFromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1') as ByteString;
}

/** The bytes of `value`, a new buffer. */
export function bytesOf(value: ByteString): Buffer {
  return Buffer.from(value, 'latin1');
}

/** For people: UTF-8 where the bytes are UTF-8, `\xNN` for each byte that is not, and for control characters. */
export function displayText(value: ByteString): string {
  const text = bytesOf(value).toString('utf8');
  const printable = Buffer.from(text, 'utf8').toString('latin1') === value ? text : (value as string);
  const exact = printable === text;
  let out = '';
  for (const character of printable) {
    const code = character.codePointAt(0) ?? 0;
    const escaped = code < 0x20 || code === 0x7f || (!exact && code >= 0x80);
    out += escaped ? `\\x${code.toString(16).padStart(2, '0')}` : character;
  }
  return out;
}
