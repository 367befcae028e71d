import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { formatReference, parseReference } from '../../src/oci/reference.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const docker = { transport: 'docker', tag: undefined, digest: undefined };

describe('parseReference()', () => {
  it.each([
    ['docker://127.0.0.1:5000/python', { ...docker, host: '127.0.0.1:5000', repository: 'python', tag: 'latest' }],
    ['docker://localhost/a/b:v1', { ...docker, host: 'localhost', repository: 'a/b', tag: 'v1' }],
    ['docker://[::1]:5000/a:v1', { ...docker, host: '[::1]:5000', repository: 'a', tag: 'v1' }],
    ['docker://busybox', { ...docker, host: 'docker.io', repository: 'library/busybox', tag: 'latest' }],
    ['docker://me/app', { ...docker, host: 'docker.io', repository: 'me/app', tag: 'latest' }],
    [`docker://r.example/a@${digest}`, { ...docker, host: 'r.example', repository: 'a', digest }],
    [`docker://r.example/a:v1@${digest}`, { ...docker, host: 'r.example', repository: 'a', tag: 'v1', digest }],
    ['oci:/a/b', { transport: 'oci', path: '/a/b', tag: undefined }],
    ['oci:dir:v1', { transport: 'oci', path: 'dir', tag: 'v1' }],
    ['oci:dir:name:v1', { transport: 'oci', path: 'dir', tag: 'name:v1' }],
    ['oci-archive:a.tar', { transport: 'oci-archive', path: 'a.tar', tag: undefined }],
    ['docker-archive:a.tar:r/x:v1', { transport: 'docker-archive', path: 'a.tar', tag: 'r/x:v1' }],
  ])('reads %s, and its canonical form again', (text, expected) => {
    const reference = parseReference(text);
    expect(reference).toEqual(expected);
    expect(parseReference(formatReference(reference))).toEqual(reference);
  });

  it.each([
    ['python:latest', 'docker://python:latest'],
    ['./dir', 'oci:DIR'],
    ['docker:python', 'docker://python'],
    ['docker://', 'docker://HOST'],
    ['docker://r.example/UPPER', 'lower case'],
    ['docker://r.example/a:', 'tag ""'],
    ['docker://r.example/a:-x', 'tag "-x"'],
    ['docker://r.example/a@sha256:12', '64 hex digits'],
    ['docker://r.example/a@x@y', '64 hex digits'],
    ['docker://user:pw@r.example/a', '64 hex digits'],
    ['docker://r.example/../a', 'no name'],
    [`docker://r.example/${'a'.repeat(256)}`, 'no name'],
    ['docker://r_example.com/a', 'no host'],
    ['oci:', 'oci:DIR'],
    ['oci:dir:', 'oci:DIR[:TAG]'],
    ['oci:dir:a b', 'oci:DIR[:TAG]'],
    ['oci-archive::x', 'oci-archive:FILE'],
    ['containers-storage:x', 'docker-archive:FILE'],
  ])('refuses %s and says what would be right', (text, hint) => {
    expect(() => parseReference(text)).toThrow(UsageError);
    expect(() => parseReference(text)).toThrow(hint);
  });
});
