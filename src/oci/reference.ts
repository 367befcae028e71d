import { UsageError } from '../errors.ts';
import type { Digest } from './digest.ts';

/** An image in a registry. */
export interface RegistryReference {
  readonly transport: 'docker';
  /** `HOST[:PORT]`, as in messages and credential files: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  readonly host: string;
  readonly repository: string;
  /** `latest` when neither tag nor digest was given. */
  readonly tag: string | undefined;
  /** Wins over the tag when there are both. */
  readonly digest: Digest | undefined;
}

/** An image in an OCI layout: a folder (`oci`), or a tar of one (`oci-archive`). */
export interface LayoutReference {
  readonly transport: 'oci' | 'oci-archive';
  readonly path: string;
  /** The annotation `org.opencontainers.image.ref.name`; `undefined` for the only image there is. */
  readonly tag: string | undefined;
}

/** An image in a file made by `docker save`. */
export interface DockerArchiveReference {
  readonly transport: 'docker-archive';
  readonly path: string;
  /** `NAME:TAG` as in the file's RepoTags; `undefined` for the only image there is. */
  readonly tag: string | undefined;
}

export type Reference = RegistryReference | LayoutReference | DockerArchiveReference;

/** The field's length caps; a longer name is no name. Source: OCI distribution-spec 1.1; distribution/reference. */
const maximumRepositoryLength = 255;

const hostPattern = /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?$/;
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

function refuse(text: string, why: string): UsageError {
  return new UsageError('SLUICE_REFERENCE_INVALID', `Cannot use reference "${text.slice(0, 300)}": ${why}`);
}

/** Docker's rule: the first component is a host when it looks like one, else the name is Docker Hub's. */
function splitHost(name: string): { host: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  const host = isHost ? first : 'docker.io';
  const rest = isHost ? name.slice(slash + 1) : name;
  return { host, repository: host === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest };
}

function parseRegistry(text: string, rest: string): RegistryReference {
  const [beforeDigest = '', digest, ...more] = rest.split('@');
  if (more.length > 0 || (digest !== undefined && !digestPattern.test(digest))) {
    throw refuse(text, 'the digest after "@" must be "sha256:" and 64 hex digits');
  }
  const [, name = '', tag] = /^(.*?)(?::([^:/]*))?$/s.exec(beforeDigest) ?? [];
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw refuse(text, `tag "${tag}" may hold letters, digits, ".", "_" and "-", at most 128`);
  }
  const { host, repository } = splitHost(name);
  if (!hostPattern.test(host)) throw refuse(text, `"${host}" is no host name`);
  if (repository.length > maximumRepositoryLength || !repositoryPattern.test(repository)) {
    throw refuse(
      text,
      `repository "${repository}" is no name; want "docker://HOST[:PORT]/NAME[:TAG|@DIGEST]" in lower case`,
    );
  }
  return {
    transport: 'docker',
    host,
    repository,
    tag: tag ?? (digest === undefined ? 'latest' : undefined),
    digest: digest as Digest | undefined,
  };
}

/** As skopeo does, the first colon ends the path. */
function splitPath(text: string, rest: string, want: string): { path: string; tag: string | undefined } {
  const colon = rest.indexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  if (path === '') throw refuse(text, `no path; want "${want}"`);
  if (path.includes('\0')) throw refuse(text, 'the path holds a NUL');
  if (tag !== undefined && !/^[\x21-\x7e]{1,512}$/.test(tag)) {
    throw refuse(text, `"${tag}" after the path is no tag; want "${want}"`);
  }
  return { path, tag };
}

/**
 * Reads an image reference in skopeo's notation.
 *
 * `docker://HOST[:PORT]/NAME[:TAG|@DIGEST]`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME:TAG]`
 * @throws {UsageError} SLUICE_REFERENCE_INVALID, the message says what would be right
 */
export function parseReference(text: string): Reference {
  const [, transport, rest = ''] = /^([a-z-]+):(.*)$/s.exec(text) ?? [];
  switch (transport) {
    case 'docker':
      if (!rest.startsWith('//')) throw refuse(text, `want "docker://${rest.replace(/^\/+/, '')}"`);
      return parseRegistry(text, rest.slice(2));
    case 'oci':
      return { transport, ...splitPath(text, rest, 'oci:DIR[:TAG]') };
    case 'oci-archive':
      return { transport, ...splitPath(text, rest, 'oci-archive:FILE[:TAG]') };
    case 'docker-archive':
      return { transport, ...splitPath(text, rest, 'docker-archive:FILE[:NAME:TAG]') };
    default:
      throw refuse(
        text,
        `want a transport in front: "docker://${text}", "oci:DIR[:TAG]", "oci-archive:FILE" or "docker-archive:FILE"`,
      );
  }
}

/** The canonical text, which {@link parseReference} reads back. */
export function formatReference(reference: Reference): string {
  if (reference.transport === 'docker') {
    const { host, repository, tag, digest } = reference;
    return `docker://${host}/${repository}${tag ? `:${tag}` : ''}${digest ? `@${digest}` : ''}`;
  }
  return `${reference.transport}:${reference.path}${reference.tag ? `:${reference.tag}` : ''}`;
}
