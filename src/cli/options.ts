import { readFileSync, statfsSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { daemonSocket } from '../control/socket-file.ts';
import { UsageError } from '../errors.ts';
import { defaultFailurePolicy, type FailurePolicy } from '../fetch/failure-policy.ts';
import type { LogFormat } from '../log/format.ts';
import { type LogLevel, logLevels } from '../log/levels.ts';
import { parsePlatform } from '../oci/platform.ts';
import { defaultRetryPolicy, type RegistryOptions, type RetryPolicy } from '../registry/registry-options.ts';

/** Options of every command that may talk to a registry. */
export interface RegistryFlags {
  readonly plainHttp?: boolean;
  readonly ca?: string;
  readonly mirror?: readonly string[];
  readonly hostsDir?: string;
  readonly credentials?: string;
  readonly http2?: boolean;
}

/** Options of every command that keeps something on this machine. */
export interface CacheFlags {
  readonly cacheDir: string;
}

/** Options of every command that talks to the daemon. */
export interface SocketFlags {
  readonly socket?: string;
}

/** What the cache may use of its disk, as {@link addCacheBoundOptions} reads it. Bytes. */
export interface CacheBoundFlags extends CacheFlags {
  readonly cacheSize?: number;
  readonly cacheFree?: number;
}

/** As {@link addLogOptions} reads them. */
export interface LogFlags {
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

const millisecondsOf: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

const gibibyte = 2 ** 30;
/** The cache's default bound, and the part of its disk that it takes at most. */
const defaultCacheBytes = 10 * gibibyte;
const maximumDiskShare = 1 / 4;

export function addRegistryOptions(command: Command): Command {
  return command
    .option('--plain-http', 'speak http to the registry (the default for loopback addresses)')
    .option('--ca <file>', 'trust the PEM certificates in this file instead of the system’s')
    .option('--mirror <url>', 'ask there before the registry; may be given several times', collectText)
    .option('--hosts-dir <dir>', 'mirrors and certificates as containerd has them (default: /etc/containerd/certs.d)')
    .option('--credentials <command>', 'a program that says who to be, as docker’s credential helpers do')
    .option('--http2', 'speak HTTP/2 to registries and mirrors that know it');
}

function collectText(text: string, others: readonly string[] | undefined): readonly string[] {
  return [...(others ?? []), text];
}

export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print the result, and errors, as JSON');
}

export function addPlatformOption(command: Command): Command {
  return command.option('--platform <os/arch>', 'which image of an index, linux/arm64 for example', parsePlatform);
}

/** What is done about chunks that cannot be had: `onFailure` of the flags. */
export function addFailureOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--on-failure <policy>',
      'what to do about a chunk that cannot be had: eio, wait, wait:10s (try again for so long), offline (ask nobody)',
    )
      .argParser(parseFailurePolicy)
      .default(defaultFailurePolicy, 'wait:30s'),
  );
}

/** For whoever serves mounts for long: `Log` takes these as they are. */
export function addLogOptions(command: Command): Command {
  return command
    .addOption(new Option('--log-format <format>', 'how events are written').choices(['text', 'json']).default('text'))
    .addOption(
      new Option('--log-level <level>', 'the least severe events to write').choices(logLevels).default('info'),
    );
}

export function addCacheDirOption(command: Command): Command {
  return command.addOption(
    new Option('--cache-dir <dir>', 'where chunks and metadata are kept')
      .env('SLUICE_CACHE_DIR')
      .default(defaultCacheDir()),
  );
}

export function addSocketOption(command: Command): Command {
  return command.addOption(
    new Option('--socket <file>', 'where the daemon listens (default: below the cache directory)').env('SLUICE_SOCKET'),
  );
}

/** Where the daemon is that commands with these flags mean. */
export function daemonSocketOf({ socket, cacheDir }: SocketFlags & CacheFlags): string {
  return socket === undefined ? daemonSocket(cacheDir) : path.resolve(socket);
}

export function addCacheBoundOptions(command: Command): Command {
  return command
    .option(
      '--cache-size <bytes>',
      'bound of the whole cache, 512M or 10G (default: 10G, a quarter of a small disk)',
      parseBytes,
    )
    .option(
      '--cache-free <bytes>',
      'what the cache leaves free on its disk (default: 2G, a twentieth of a small disk)',
      parseBytes,
    );
}

/** For `ChunkCache.open()`. */
export function cacheBounds(flags: CacheBoundFlags): { maximumBytes: number; minimumFreeBytes: number | undefined } {
  return {
    maximumBytes: flags.cacheSize ?? defaultCacheSize(flags.cacheDir),
    minimumFreeBytes: flags.cacheFree,
  };
}

export function registryOptions(flags: RegistryFlags): RegistryOptions {
  return {
    ...(flags.plainHttp === undefined ? {} : { plainHttp: flags.plainHttp }),
    ...(flags.ca === undefined ? {} : { ca: readCertificates(flags.ca) }),
    ...(flags.mirror === undefined ? {} : { mirrors: flags.mirror }),
    ...(flags.hostsDir === undefined ? {} : { hostsDirectory: path.resolve(flags.hostsDir) }),
    ...(flags.credentials === undefined ? {} : { credentialsCommand: flags.credentials.split(/\s+/).filter(Boolean) }),
    ...(flags.http2 === undefined ? {} : { http2: flags.http2 }),
  };
}

/** What decides about credentials and proxies. */
const registryVariables = [
  ...['HOME', 'PATH', 'DOCKER_CONFIG', 'REGISTRY_AUTH_FILE', 'XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
  ...['SLUICE_REGISTRY_USERNAME', 'SLUICE_REGISTRY_PASSWORD'],
];

/** This command's, for a daemon that somebody else may have started: it acts for whoever asks. */
export function registryEnvironment(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    registryVariables.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** `512M`, `10GiB`, `1000000` → bytes; K, M, G, T are powers of 1024. For commander. */
export function parseBytes(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(digits) * 1024 ** ' KMGT'.indexOf((unit || ' ').toUpperCase()));
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use size "${text}": want bytes, or 512M, 10G, 1T`);
}

/** `eio`, `wait`, `wait:10s`, `wait:2m`, `offline`. For commander. */
export function parseFailurePolicy(text: string): FailurePolicy {
  if (text === 'eio' || text === 'offline') return { kind: text };
  if (text === 'wait') return defaultFailurePolicy;
  const [, digits, unit = ''] = /^wait:(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h)$/.exec(text) ?? [];
  const milliseconds = Math.round(Number(digits) * (millisecondsOf[unit] ?? Number.NaN));
  if (milliseconds >= 1) return { kind: 'wait', milliseconds };
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot use failure policy "${text}": want eio, wait, wait:10s (ms, s, m, h) or offline`,
  );
}

/** How often the registry's client tries again what is needed before there is a mount. */
export function registryRetry(failure: FailurePolicy): RetryPolicy {
  return failure.kind === 'wait'
    ? { ...defaultRetryPolicy, deadlineMs: failure.milliseconds }
    : { ...defaultRetryPolicy, attempts: 1 };
}

/** For commander. */
export function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot use "${text}": want a whole number from 1 up`);
}

/** 10 GiB, or a quarter of a small disk. @param directory - need not exist yet */
export function defaultCacheSize(directory: string): number {
  for (let place = path.resolve(directory); ; place = path.dirname(place)) {
    try {
      const { blocks, bsize } = statfsSync(place);
      return Math.min(defaultCacheBytes, Math.floor(blocks * bsize * maximumDiskShare));
    } catch (error) {
      if (place === path.dirname(place)) throw error;
    }
  }
}

function defaultCacheDir(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'sluice');
}

function readCertificates(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot read certificates from "${file}"`, { cause });
  }
}
