import { BlockList, isIP } from 'node:net';
import { UsageError } from '../errors.ts';
import { isLoopback } from './registry-host.ts';
import type { Environment } from './registry-options.ts';

const defaultPorts: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * The proxy that the environment wants for a URL: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in lower case, too, which wins.
 * Nothing on this machine is asked for through a proxy. Source: Go, golang.org/x/net/http/httpproxy, which container
 * tools share; lower case first, as curl does.
 *
 * @throws {UsageError} SLUICE_OPTION_INVALID for a proxy that is no http or https URL
 */
export function proxyFor(url: URL, environment: Environment): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const proxy = variable(environment, name);
  if (proxy === '' || isLoopback(url.hostname)) return undefined;
  const excluded = variable(environment, 'NO_PROXY')
    .toLowerCase()
    .split(/[\s,]+/);
  if (excluded.some((entry) => entry !== '' && matches(url, entry))) return undefined;
  const text = proxy.includes('://') ? proxy : `http://${proxy}`;
  if (URL.canParse(text) && /^https?:/i.test(text)) return new URL(text);
  // Without the value, which may hold a password.
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use the proxy in ${name}: want an http or https URL`);
}

function variable(environment: Environment, name: string): string {
  return environment[name.toLowerCase()] || environment[name] || '';
}

/** @param entry - `*`, `HOST[:PORT]` with all below it, `.DOMAIN`, an address, or a range of them */
function matches(url: URL, entry: string): boolean {
  if (entry === '*') return true;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const [, range, bits] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (range !== undefined && bits !== undefined) return isWithin(host, range, Number(bits));
  const [, name = entry, port] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? [];
  if (port !== undefined && port !== (url.port || defaultPorts[url.protocol])) return false;
  const domain = name.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
  const isBelowOnly = domain !== name && !name.startsWith('[');
  return (host === domain && !isBelowOnly) || host.endsWith(`.${domain}`);
}

function isWithin(host: string, range: string, bits: number): boolean {
  const family = isIP(range);
  if (family === 0 || isIP(host) !== family || bits > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(range, bits, type);
  return list.check(host, type);
}
