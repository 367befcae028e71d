import { UsageError } from '../errors.ts';

/** Whether a value is what a request may have there. */
export type Check = (value: unknown) => boolean;

/** What a member of a request has to be: a check, and the same in words. */
export type Field = readonly [check: Check, want: string, presence: 'required' | 'optional'];

/** A field for each member. */
export type Fields<T> = Readonly<Record<Extract<keyof T, string>, Field>>;

/** A request whose names are long is not quoted as a whole. */
const maximumQuoted = 100;

export const isText: Check = (value) => typeof value === 'string' && value !== '' && !value.includes('\0');
export const isBoolean: Check = (value) => typeof value === 'boolean';
/** JSON has numbers that become Infinity. */
export const isPositive: Check = (value) => Number.isFinite(value) && (value as number) >= 1;

export const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);

export const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);

/** An object whose members all are so, whatever their names. */
export const isMapOf =
  (check: Check): Check =>
  (value) =>
    isObject(value) && Object.values(value).every(check);

/** An object with these members and no others. */
export const isObjectWith =
  (required: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check =>
  (value) =>
    isObject(value) &&
    Object.keys(required).every((name) => Object.hasOwn(value, name)) &&
    Object.entries(value).every(([name, member]) => own(required, name)?.(member) ?? own(optional, name)?.(member));

/**
 * Reads the body of a request.
 * @param action - what was asked for, for messages
 * @returns `body` itself
 * @throws {UsageError} SLUICE_OPTION_INVALID, naming the member that is wrong, missing or unknown
 */
export function checkBody<T>(action: string, fields: Fields<T>, body: Readonly<Record<string, unknown>>): T {
  for (const [name, [check, want, presence]] of Object.entries<Field>(fields)) {
    if (Object.hasOwn(body, name) ? check(body[name]) : presence === 'optional') continue;
    throw new UsageError('SLUICE_OPTION_INVALID', `Cannot ${action}: want "${name}" to be ${want}`);
  }
  const unknown = Object.keys(body).find((name) => !Object.hasOwn(fields, name));
  if (unknown === undefined) return body as T;
  throw new UsageError(
    'SLUICE_OPTION_INVALID',
    `Cannot ${action}: "${unknown.slice(0, maximumQuoted)}" is no field of such a request`,
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Not what every object inherits: `constructor` is a name like any other. */
function own(checks: Readonly<Record<string, Check>>, name: string): Check | undefined {
  return Object.hasOwn(checks, name) ? checks[name] : undefined;
}
