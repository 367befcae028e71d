import path from 'node:path';
import {
  type Check,
  checkBody,
  type Fields,
  isBoolean,
  isListOf,
  isMapOf,
  isObjectWith,
  isPositive,
  isText,
  oneOf,
} from '../control/check-body.ts';
import type { MountRequest } from '../control/protocol.ts';
import type { Platform } from '../oci/image.ts';
import type { RegistryOptions } from '../registry/registry-options.ts';

const isString: Check = (value) => typeof value === 'string';
const isPath: Check = (value) => isText(value) && path.isAbsolute(value as string);
const isDuration: Check = (value) => Number.isFinite(value) && (value as number) >= 0;
const isCount: Check = (value) => Number.isSafeInteger(value) && isPositive(value);

const either =
  (...checks: readonly Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));

const platformMembers: Readonly<Record<keyof Platform, Check>> = {
  os: isText,
  architecture: isText,
  variant: isText,
  'os.version': isText,
};
const { os, architecture, ...platformDetails } = platformMembers;

const registryMembers: Readonly<Record<keyof RegistryOptions, Check>> = {
  plainHttp: isBoolean,
  ca: isText,
  credentials: either(
    oneOf('anonymous'),
    isObjectWith({ kind: oneOf('password'), username: isString, password: isString }),
    isObjectWith({ kind: oneOf('identity-token'), token: isString }),
  ),
  credentialsCommand: isListOf(isText),
  mirrors: isListOf(isText),
  hostsDirectory: isString,
  http2: isBoolean,
  environment: isMapOf(isString),
  connections: isCount,
  stallMs: isPositive,
  retry: isObjectWith({ attempts: isCount, baseMs: isDuration, maximumMs: isDuration, deadlineMs: isDuration }),
};

const fields: Fields<MountRequest> = {
  image: [isText, 'a reference', 'required'],
  mountPoint: [isPath, 'an absolute path', 'required'],
  driver: [oneOf('fuse', 'libfuse'), 'fuse or libfuse', 'required'],
  platform: [isObjectWith({ os, architecture }, platformDetails), 'an object with os and architecture', 'optional'],
  profile: [either(oneOf(false), isText), 'a name, or false', 'optional'],
  prefetch: [isBoolean, 'true or false', 'required'],
  trace: [isBoolean, 'true or false', 'required'],
  failure: [
    either(
      isObjectWith({ kind: oneOf('eio', 'offline') }),
      isObjectWith({ kind: oneOf('wait'), milliseconds: isPositive }),
    ),
    'kind eio, offline, or wait with milliseconds from 1 up',
    'required',
  ],
  fill: [
    isObjectWith({ kind: oneOf('eager', 'background') }, { bytesPerSecond: isPositive }),
    'kind eager or background, with bytesPerSecond from 1 up or without',
    'optional',
  ],
  registry: [isObjectWith({}, registryMembers), 'an object of docs/daemon.md’s registry options', 'required'],
};

/**
 * Reads the body of a request to mount.
 * @throws {UsageError} SLUICE_OPTION_INVALID, naming the field that is wrong, missing or unknown
 */
export function parseMountRequest(body: Readonly<Record<string, unknown>>): MountRequest {
  return checkBody('mount', fields, body);
}
