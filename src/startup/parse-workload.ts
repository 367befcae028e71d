import { FormatError, UsageError } from '../errors.ts';
import {
  type Json,
  type JsonObject,
  objectAt,
  parseJsonObject,
  sizeAt,
  stringAt,
  stringMapAt,
  stringsAt,
} from '../oci/json.ts';
import type { Readiness, Workload } from './workload.ts';

/** Part of a repository's name and of folders: what a registry allows, and short enough for the path of a socket. */
const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;
const fullReference = /^(?:docker|oci|oci-archive|docker-archive):/;
const environmentName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Longest regular expression: it is somebody else's program, run on every line of output. */
const maximumPattern = 500;
/** Longest wait for one start: a typing error would stop a benchmark for days. */
const maximumTimeoutSeconds = 3600;
const defaultTimeoutSeconds = 120;

/**
 * Reads a workload: `{"image", "command"?, "environment"?, "ready", "timeoutSeconds"?}` (docs/startup-benchmark.md).
 *
 * @param name - what it is called, its file without `.json`
 * @param images - where an image lies that is given as a tag alone: `oci:DIR`
 * @throws {UsageError} SLUICE_OPTION_INVALID, the message says what would be right
 */
export function parseWorkload(bytes: Uint8Array, name: string, images?: string): Workload {
  if (!namePattern.test(name)) {
    throw refuse(name, 'its name may hold 32 lower-case letters, digits and "-"');
  }
  const where = `workload "${name}"`;
  try {
    const object = parseJsonObject(bytes, where);
    onlyKnown(object, ['image', 'command', 'environment', 'ready', 'timeoutSeconds'], name);
    const { command, timeoutSeconds } = object;
    return {
      name,
      image: imageOf(stringAt(object.image, `${where} image`), name, images),
      command: command === undefined ? undefined : commandOf(command, name),
      environment: environmentOf(object.environment, name),
      ready: readinessOf(objectAt(object.ready, `${where} ready`), name),
      timeoutMs:
        1000 *
        (timeoutSeconds === undefined
          ? defaultTimeoutSeconds
          : inRange(timeoutSeconds, 1, maximumTimeoutSeconds, 'timeoutSeconds', name)),
    };
  } catch (error) {
    // It is no manifest, whatever the functions that take values out of documents call it.
    if (error instanceof FormatError) throw new UsageError('SLUICE_OPTION_INVALID', error.message, { cause: error });
    throw error;
  }
}

function imageOf(image: string, name: string, images: string | undefined): string {
  if (fullReference.test(image)) return image;
  if (images !== undefined) return `${images}:${image}`;
  throw refuse(name, `its image "${image}" is a tag; say where it lies with --images oci:DIR`);
}

function commandOf(value: Json, name: string): readonly string[] {
  const words = stringsAt(value, `workload "${name}" command`);
  if (words.length === 0 || words.some((word) => word.includes('\0'))) {
    throw refuse(name, 'its command is empty or holds a NUL; leave it out for the image’s own');
  }
  return words;
}

function environmentOf(value: Json | undefined, name: string): Readonly<Record<string, string>> {
  const environment = stringMapAt(value, `workload "${name}" environment`);
  for (const [key, text] of Object.entries(environment)) {
    if (!environmentName.test(key) || text.includes('\0')) throw refuse(name, `"${key}" cannot be in an environment`);
  }
  return environment;
}

function readinessOf(ready: JsonObject, name: string): Readiness {
  const known = (...members: readonly string[]): void => onlyKnown(ready, ['kind', ...members], name);
  const port = (): number => inRange(ready.port, 1, 65_535, 'port', name);
  switch (ready.kind) {
    case 'exit':
      known('status');
      return { kind: 'exit', status: ready.status === undefined ? 0 : inRange(ready.status, 0, 255, 'status', name) };
    case 'line':
      known('pattern');
      return { kind: 'line', pattern: patternOf(stringAt(ready.pattern, `workload "${name}" pattern`), name) };
    case 'tcp':
      known('port');
      return { kind: 'tcp', port: port() };
    case 'http':
      known('port', 'path');
      return { kind: 'http', port: port(), path: pathOf(ready.path, name) };
    default:
      throw refuse(name, `it is ready by ${JSON.stringify(ready.kind)}; want "exit", "line", "tcp" or "http"`);
  }
}

function patternOf(pattern: string, name: string): string {
  if (pattern.length > maximumPattern) throw refuse(name, `its pattern is longer than ${maximumPattern} characters`);
  try {
    new RegExp(pattern, 'u');
  } catch (cause) {
    throw refuse(name, `"${pattern}" is no regular expression`, cause);
  }
  return pattern;
}

function pathOf(value: Json | undefined, name: string): string {
  const path = value === undefined ? '/' : stringAt(value, `workload "${name}" path`);
  if (/^\/[\x21-\x7e]*$/.test(path)) return path;
  throw refuse(name, `"${path}" is no path of a URL`);
}

function inRange(value: Json | undefined, least: number, greatest: number, what: string, name: string): number {
  const number = sizeAt(value, `workload "${name}" ${what}`);
  if (number >= least && number <= greatest) return number;
  throw refuse(name, `${what} is ${number}; want ${least} to ${greatest}`);
}

/** A member nobody knows is a typing error, and what was meant would be left out. */
function onlyKnown(object: JsonObject, known: readonly string[], name: string): void {
  const unknown = Object.keys(object).find((key) => !known.includes(key));
  if (unknown !== undefined) throw refuse(name, `"${unknown}" is not known; want ${known.join(', ')}`);
}

function refuse(name: string, why: string, cause?: unknown): UsageError {
  return new UsageError('SLUICE_OPTION_INVALID', `Cannot use workload "${name}": ${why}`, { cause });
}
