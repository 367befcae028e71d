import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { FormatError } from '../errors.ts';
import type { RegistryReference } from '../oci/reference.ts';
import { addressOf, apiUrl, hostAt, type RegistryHost, type TlsSettings } from './registry-host.ts';
import type { RegistryOptions } from './registry-options.ts';
import { maximumTomlBytes, parseToml, type Toml, type TomlTable } from './toml.ts';

/** Where containerd keeps them. */
const defaultDirectory = '/etc/containerd/certs.d';
/** Certificates in one folder; more of them are not for one registry. */
const maximumFiles = 100;

/** What a folder says of a registry. */
export interface ConfiguredHosts {
  readonly mirrors: readonly RegistryHost[];
  /** What is asked last; undefined: the registry as it is. */
  readonly server: RegistryHost | undefined;
}

const capabilities: ReadonlySet<string> = new Set(['pull', 'resolve', 'push', 'referrers']);
/** Whatever is said of a host. `dial_timeout` is known and needs nothing: there is one here. */
const hostKeys: ReadonlySet<string> = new Set([
  'capabilities',
  'ca',
  'client',
  'skip_verify',
  'header',
  'override_path',
  'dial_timeout',
]);

function invalid(file: string, why: string): FormatError {
  return new FormatError('SLUICE_CONFIG_INVALID', `Cannot use "${file}": ${why}`);
}

function isFolder(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function readText(file: string, wanted: string): string {
  try {
    if (statSync(file).size > maximumTomlBytes) throw invalid(wanted, `"${file}" is too large`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof FormatError) throw error;
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
    throw invalid(wanted, `cannot read "${file}": ${why}`);
  }
}

/** The first that is there counts. Source: containerd, docs/hosts.md, "Registry Host Namespace". */
function folderOf(host: string, options: RegistryOptions): string | undefined {
  const root = options.hostsDirectory ?? defaultDirectory;
  if (root === '' || !isFolder(root)) return undefined;
  const [, name = host, port] = /^(.*):(\d+)$/.exec(host) ?? [];
  const names = [...(port === undefined ? [] : [`${name}_${port}_`]), host, '_default'];
  return names.map((one) => path.join(root, one)).find(isFolder);
}

/**
 * Reads what containerd is told of a registry: `hosts.toml`, or docker's certificates alone.
 *
 * @returns undefined when there is nothing
 * @throws {FormatError} SLUICE_CONFIG_INVALID for anything that is not understood
 */
export function configuredHosts(reference: RegistryReference, options: RegistryOptions): ConfiguredHosts | undefined {
  const folder = folderOf(reference.host, options);
  if (folder === undefined) return undefined;
  const file = path.join(folder, 'hosts.toml');
  if (statSync(file, { throwIfNoEntry: false }) !== undefined) return new HostsFile(file, reference).read();
  const tls = dockerCertificates(folder);
  if (tls === undefined) return undefined;
  const server = hostAt(apiUrl(new URL(`https://${addressOf(reference.host)}`)), reference, { tls });
  return { mirrors: [], server };
}

/** As node does without settings, and these: containerd adds to what the system trusts. */
function trusted(ca: readonly string[]): Pick<TlsSettings, 'ca'> {
  // Loaded for this alone: most starts need no TLS.
  return ca.length === 0 ? {} : { ca: [...process.getBuiltinModule('node:tls').rootCertificates, ...ca] };
}

/** `*.crt` are trusted; `NAME.cert` is a client's, and `NAME.key` its key. Source: docker, "Use certificates". */
function dockerCertificates(folder: string): TlsSettings | undefined {
  const names = readdirSync(folder).slice(0, maximumFiles).sort();
  const read = (name: string): string => readText(path.join(folder, name), folder);
  const ca = names.filter((name) => name.endsWith('.crt')).map(read);
  const certificates = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => ({ certificate: read(name), key: read(name.replace(/\.cert$/, '.key')) }));
  return ca.length + certificates.length === 0 ? undefined : { ...trusted(ca), certificates };
}

/** One `hosts.toml`. Source: containerd, docs/hosts.md. */
class HostsFile {
  readonly #file: string;
  readonly #reference: RegistryReference;

  constructor(file: string, reference: RegistryReference) {
    this.#file = file;
    this.#reference = reference;
  }

  read(): ConfiguredHosts {
    const { host, server, ...root } = Object.fromEntries(parseToml(readText(this.#file, this.#file), this.#file));
    const own = new Map(Object.entries(root));
    const mirrors = host === undefined ? [] : [...this.#table(host, 'host')];
    const name = addressOf(this.#reference.host);
    const isSaid = server !== undefined || own.size > 0;
    return {
      mirrors: mirrors.map(([url, settings]) => this.#host(url, this.#table(settings, `host."${url}"`))),
      server: isSaid ? this.#host(server === undefined ? name : this.#string(server, 'server'), own) : undefined,
    };
  }

  #host(text: string, settings: TomlTable): RegistryHost {
    const unknown = [...settings.keys()].find((key) => !hostKeys.has(key));
    if (unknown !== undefined) throw invalid(this.#file, `unknown key "${unknown}"`);
    const whole = text.includes('://') ? text : `https://${text}`;
    if (!/^https?:/i.test(whole) || !URL.canParse(whole)) {
      throw invalid(this.#file, 'a host is no http or https URL');
    }
    const url = new URL(whole);
    if (url.username || url.password || url.search || url.hash) {
      throw invalid(this.#file, `host "${url.host}": want a URL without credentials, query and fragment`);
    }
    return hostAt(apiUrl(url, this.#boolean(settings, 'override_path')), this.#reference, this.#settings(settings));
  }

  #settings(settings: TomlTable): Pick<RegistryHost, 'pulls' | 'resolves' | 'tls' | 'headers'> {
    const named = settings.get('capabilities');
    const able = named === undefined ? ['pull', 'resolve'] : this.#strings(named, 'capabilities');
    const unknown = able.find((one) => !capabilities.has(one));
    if (unknown !== undefined) throw invalid(this.#file, `unknown capability "${unknown}"`);
    const ca = settings.get('ca');
    const tls = {
      ...trusted(ca === undefined ? [] : this.#strings(ca, 'ca').map((name) => this.#pem(name))),
      certificates: this.#clients(settings.get('client')),
      skipVerify: this.#boolean(settings, 'skip_verify'),
    };
    const headers = this.#headers(settings.get('header'));
    return { pulls: able.includes('pull'), resolves: able.includes('resolve'), tls, headers };
  }

  /** A file with certificate and key, a list of such, or a list of pairs of files, the key's second. */
  #clients(value: Toml | undefined): { certificate: string; key: string }[] {
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((entry: Toml) => {
      const [certificate = '', key = certificate, ...more] = this.#strings(entry, 'client');
      if (more.length > 0) throw invalid(this.#file, 'client: want a file, or a certificate and its key');
      return { certificate: this.#pem(certificate), key: this.#pem(key === '' ? certificate : key) };
    });
  }

  #headers(value: Toml | undefined): Record<string, string> {
    const table = value === undefined ? new Map<string, Toml>() : this.#table(value, 'header');
    return Object.fromEntries(
      [...table].map(([name, text]) => {
        const joined = this.#strings(text, 'header').join(', ');
        // Neither is quoted: a header may be a credential.
        if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t\x20-\x7e]*$/.test(joined)) {
          throw invalid(this.#file, 'a header is none');
        }
        return [name.toLowerCase(), joined];
      }),
    );
  }

  #pem(name: string): string {
    return readText(path.resolve(path.dirname(this.#file), name), this.#file);
  }

  #table(value: Toml, where: string): TomlTable {
    if (value instanceof Map) return value;
    throw invalid(this.#file, `${where}: want a table`);
  }

  #string(value: Toml, where: string): string {
    if (typeof value === 'string') return value;
    throw invalid(this.#file, `${where}: want a string`);
  }

  /** One, or a list of them. */
  #strings(value: Toml, where: string): string[] {
    return (Array.isArray(value) ? value : [value]).map((one: Toml) => this.#string(one, where));
  }

  #boolean(settings: TomlTable, key: string): boolean {
    const value = settings.get(key) ?? false;
    if (typeof value === 'boolean') return value;
    throw invalid(this.#file, `${key}: want true or false`);
  }
}
