import { isIP } from 'node:net';
import type { RegistryReference } from '../oci/reference.ts';

/** What a connection to one host is secured with. Texts are PEM. */
export interface TlsSettings {
  /** Instead of the system's. */
  readonly ca?: readonly string[];
  readonly certificates?: readonly { readonly certificate: string; readonly key: string }[];
  /** Trust whoever answers. */
  readonly skipVerify?: boolean;
}

/** One place that is asked for a repository: the registry, or a mirror of it. */
export interface RegistryHost {
  /** For messages and status: a URL. */
  readonly name: string;
  /** Where the API is, without a slash at the end: `https://mirror.example/v2`. */
  readonly api: URL;
  readonly isRegistry: boolean;
  /** What credentials are looked up by: `docker.io`, `mirror.example:5000`. */
  readonly credentialsName: string;
  /** What a mirror is asked on behalf of, as `?ns=`; undefined for the registry. Source: containerd, docs/hosts.md. */
  readonly namespace: string | undefined;
  /** Whether it is asked for content, by digest. */
  readonly pulls: boolean;
  /** Whether it is believed what a tag means. */
  readonly resolves: boolean;
  readonly tls: TlsSettings;
  /** Sent to it, and to nobody it redirects to. */
  readonly headers: Readonly<Record<string, string>>;
}

/** What is known of a host beside its URL. */
type HostSettings = Partial<Pick<RegistryHost, 'pulls' | 'resolves' | 'tls' | 'headers'>>;

const defaultApi = '/v2';

export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'));
}

/** `HOST[:PORT]` where the registry of that name is. Docker Hub's is not at its name. */
export function addressOf(host: string): string {
  return host === 'docker.io' ? 'registry-1.docker.io' : host;
}

/** @param api - as {@link apiUrl} makes it */
export function hostAt(api: URL, reference: RegistryReference, settings: HostSettings = {}): RegistryHost {
  const isRegistry = api.host === new URL(`${api.protocol}//${addressOf(reference.host)}/`).host;
  return {
    name: `${api.origin}${api.pathname === defaultApi ? '' : api.pathname}`,
    api,
    isRegistry,
    credentialsName: isRegistry ? reference.host : api.host,
    namespace: isRegistry ? undefined : reference.host,
    pulls: true,
    resolves: true,
    tls: {},
    headers: {},
    ...settings,
  };
}

/**
 * Where the API is at a host.
 * @param isWhole - the path says it all: containerd's `override_path`
 */
export function apiUrl(url: URL, isWhole = false): URL {
  const api = new URL(url);
  const path = url.pathname.replace(/\/+$/, '');
  api.pathname = isWhole || path.endsWith(defaultApi) ? path : `${path}${defaultApi}`;
  return api;
}
