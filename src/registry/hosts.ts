import { UsageError } from '../errors.ts';
import type { RegistryReference } from '../oci/reference.ts';
import { configuredHosts } from './hosts-directory.ts';
import { addressOf, apiUrl, hostAt, isLoopback, type RegistryHost } from './registry-host.ts';
import type { RegistryOptions } from './registry-options.ts';

/** Where a repository is. */
export interface RegistryHosts {
  /** Who is asked for content, best first: mirrors, then the registry. At least one. */
  readonly places: readonly RegistryHost[];
  /** Who is written to. */
  readonly registry: RegistryHost;
}

/**
 * The places of a repository: the mirrors of the options, those that containerd's files name, the registry.
 *
 * @throws {UsageError} SLUICE_REFERENCE_INVALID when the host is none, SLUICE_OPTION_INVALID for a mirror that is none
 * @throws {FormatError} SLUICE_CONFIG_INVALID for a file that is there but wrong
 */
export function registryHosts(reference: RegistryReference, options: RegistryOptions): RegistryHosts {
  const { host } = reference;
  if (!URL.canParse(`http://${host}/`)) {
    throw new UsageError('SLUICE_REFERENCE_INVALID', `Cannot use registry "${host}": no host and port`);
  }
  const tls = options.ca === undefined ? {} : { ca: [options.ca] };
  const configured = configuredHosts(reference, options);
  const registry =
    configured?.server === undefined
      ? hostAt(apiUrl(withScheme(addressOf(host), options)), reference, { tls })
      : { ...configured.server, tls: { ...configured.server.tls, ...tls } };
  const given = (options.mirrors ?? []).map((mirror) => hostAt(mirrorUrl(mirror, options), reference, { tls }));
  const places = new Map<string, RegistryHost>();
  for (const place of [...given, ...(configured?.mirrors ?? [])]) {
    if (place.pulls && place.name !== registry.name && !places.has(place.name)) places.set(place.name, place);
  }
  if (registry.pulls || places.size === 0) places.set(registry.name, registry);
  return { places: [...places.values()], registry };
}

/** @param host - `HOST[:PORT][/PATH]` */
function withScheme(host: string, options: RegistryOptions): URL {
  const url = new URL(`http://${host}`);
  const isPlain = options.plainHttp ?? (isLoopback(url.hostname) && options.ca === undefined);
  // Changing the protocol of a URL keeps the port only when it is not the default one: parse again.
  return isPlain ? url : new URL(`https://${host}`);
}

/** @param mirror - a URL, or `HOST[:PORT]` */
function mirrorUrl(mirror: string, options: RegistryOptions): URL {
  const shown = mirror.replace(/^([a-z]+:\/\/)?.*@/is, '$1').replace(/[?#].*/s, '');
  const refuse = (why: string): UsageError =>
    new UsageError('SLUICE_OPTION_INVALID', `Cannot use mirror "${shown.slice(0, 200)}": ${why}`);
  const isUrl = mirror.includes('://');
  const text = isUrl ? mirror : `http://${mirror}`;
  if (!/^https?:/i.test(text) || !URL.canParse(text)) throw refuse('want an http or https URL');
  const url = isUrl ? new URL(text) : withScheme(mirror, options);
  if (url.username !== '' || url.password !== '') {
    throw refuse('a command line is no place for credentials; put them into a credentials file');
  }
  if (url.search !== '' || url.hash !== '') throw refuse('want a URL without query and fragment');
  return apiUrl(url);
}
