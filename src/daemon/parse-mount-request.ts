import path from 'node:path';
import type { MountRequest } from '../control/protocol.ts';
import { UsageError } from '../errors.ts';

type Check = (value: unknown) => boolean;

const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isText: Check = (value) => typeof value === 'string' && value.length > 0 && !value.includes('\0');
const isBoolean: Check = (value) => typeof value === 'boolean';
const isPath: Check = (value) => isText(value) && path.isAbsolute(value as string);
const isPositive: Check = (value) => typeof value === 'number' && value >= 1;

const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);

/** Objects with these members and no others. */
const withMembers =
  (members: Readonly<Record<string, Check>>, required: readonly string[] = []): Check =>
  (value) =>
    isObject(value) &&
    required.every((name) => Object.hasOwn(value as object, name)) &&
    Object.entries(value as object).every(([name, member]) => members[name]?.(member) ?? false);

/** What each field has to be. What is in `registry` is checked by who uses it: it is the user's own, on the user's behalf. */
const fields: Readonly<Record<keyof MountRequest, readonly [check: Check, want: string, isRequired: boolean]>> = {
  image: [isText, 'a reference', true],
  mountPoint: [isPath, 'an absolute path', true],
  driver: [oneOf('fuse', 'libfuse'), 'fuse or libfuse', true],
  platform: [isObject, 'an object with os and architecture', false],
  profile: [(value) => value === false || isText(value), 'a name, or false', false],
  prefetch: [isBoolean, 'true or false', true],
  trace: [isBoolean, 'true or false', true],
  failure: [
    withMembers({ kind: oneOf('eio', 'wait', 'offline'), milliseconds: isPositive }, ['kind']),
    'kind eio, offline, or wait with milliseconds',
    true,
  ],
  fill: [
    withMembers({ kind: oneOf('eager', 'background'), bytesPerSecond: isPositive }, ['kind']),
    'kind eager or background, bytesPerSecond from 1 up',
    false,
  ],
  registry: [isObject, 'an object', true],
};

/**
 * Reads the body of a request to mount.
 * @throws {UsageError} SLUICE_OPTION_INVALID, naming the field that is wrong, missing or unknown
 */
export function parseMountRequest(body: Readonly<Record<string, unknown>>): MountRequest {
  for (const [name, [check, want, isRequired]] of Object.entries(fields)) {
    if (body[name] === undefined ? isRequired : !check(body[name])) {
      throw new UsageError('SLUICE_OPTION_INVALID', `Cannot mount: want "${name}" to be ${want}`);
    }
  }
  const unknown = Object.keys(body).find((name) => !Object.hasOwn(fields, name));
  if (unknown === undefined) return body as unknown as MountRequest;
  throw new UsageError('SLUICE_OPTION_INVALID', `Cannot mount: "${unknown.slice(0, 100)}" is no field of a request`);
}
