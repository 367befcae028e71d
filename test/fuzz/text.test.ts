import { describe, expect, it } from 'vitest';
import { byteString, bytesOf, displayText } from '../../src/byte-string.ts';
import { parseBytes, parseCount } from '../../src/cli/options.ts';
import { parseMountInfo } from '../../src/fuse/mount-info.ts';
import { parseDigest } from '../../src/oci/digest.ts';
import { parsePlatform } from '../../src/oci/platform.ts';
import { formatReference, parseReference } from '../../src/oci/reference.ts';
import { packError, reviveError } from '../../src/packed-error.ts';
import { parseChallenges } from '../../src/registry/challenge.ts';
import { responseError } from '../../src/registry/response-error.ts';
import { Secrets } from '../../src/registry/secrets.ts';
import { fuzz, fuzzText } from '../support/fuzz.ts';

describe('any text gives a value or a SluiceError', () => {
  const digest = `sha256:${'0a'.repeat(32)}`;

  it.each([
    `docker://127.0.0.1:5000/a/b__c:v1@${digest}`,
    'docker://[::1]:5000/library/name',
    'oci:/some/folder:tag',
    'docker-archive:/some/file:name:tag',
  ])('parseReference(), from %s; what it takes it gives back', (sample) => {
    const good = fuzzText(4000, sample, (text) => {
      const reference = parseReference(text);
      expect(parseReference(formatReference(reference))).toEqual(reference);
    });
    expect(good).toBeGreaterThan(0);
  });

  it.each([
    ['parseDigest()', digest, (text: string) => parseDigest(text)],
    ['parsePlatform()', 'linux/arm64/v8', (text: string) => parsePlatform(text)],
    ['parseBytes()', '10.5GiB', (text: string) => expect(Number.isSafeInteger(parseBytes(text))).toBe(true)],
    ['parseCount()', '123456', (text: string) => expect(Number.isSafeInteger(parseCount(text))).toBe(true)],
  ])('%s', (_, sample, parse) => {
    expect(fuzzText(2000, sample, (text) => void parse(text))).toBeGreaterThan(0);
  });

  it('parseChallenges()', () => {
    const header = 'Bearer realm="https://a.b/token?x=\\"y\\"",service=a.b,scope="repository:a:pull", Basic realm="z"';
    fuzzText(8000, header, (text) => {
      for (const { scheme, parameters } of parseChallenges(text)) {
        expect(scheme).toBe(scheme.toLowerCase());
        expect(Object.values(parameters).every((value) => typeof value === 'string')).toBe(true);
      }
    });
  });

  it('parseChallenges(), as long as a header may be', () => {
    const endless = [
      'Bearer a="'.repeat(2000),
      'a='.repeat(8000),
      ','.repeat(20_000),
      `Bearer a="${'\\"'.repeat(9000)}`,
    ];
    for (const text of endless) fuzzText(50, text, parseChallenges);
  });

  it('parseMountInfo()', () => {
    const line = '36 35 98:0 /mnt1 /mnt/a\\040b rw,noatime master:1 - fuse.sluice docker://a/b rw,errors=continue';
    fuzzText(8000, [line, line.replace('a\\040b', 'other')].join('\n'), (text) => {
      const found = parseMountInfo(text, '/mnt/a b');
      expect(found === undefined || typeof found.type === 'string').toBe(true);
    });
  });

  it('responseError()', () => {
    const url = new URL('https://user:secret@a.b/v2/?signature=secret');
    const body = '{"errors":[{"code":"DENIED","message":"no","detail":null}]}';
    fuzzText(4000, body, (text) => {
      const retryAfter = text.slice(0, 40);
      const response = { status: 403, url, retryAfter, body: Buffer.from(text, 'latin1'), secrets: new Secrets() };
      const error = responseError(response, 'read', 'SLUICE_BLOB_NOT_FOUND');
      expect(error.code).toBe('SLUICE_REGISTRY_DENIED');
      expect(`${error.message} ${JSON.stringify(error.facts)}`).not.toContain('secret');
      const wait = error.facts.retryAfterMs;
      expect(wait === undefined || (typeof wait === 'number' && wait >= 0)).toBe(true);
      expect(packError(reviveError(packError(error)))).toEqual(packError(error));
    });
  });

  it('displayText() shows any name in printable characters', () => {
    fuzz(4000, Buffer.from('etc/ünïcode \u202e name'), (bytes) => {
      const name = byteString(bytes);
      expect(Buffer.from(bytesOf(name)).equals(bytes)).toBe(true);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be shown
      expect(displayText(name)).not.toMatch(/[\x00-\x1f\x7f]/);
    });
  });
});
