import {
  CacheError,
  type ErrorCode,
  type ErrorFacts,
  FormatError,
  FuseError,
  IntegrityError,
  NotFoundError,
  RegistryError,
  SluiceError,
  UsageError,
} from './errors.ts';

/** An error on its way to another thread or process, where its class would be lost. Plain data. */
export interface PackedError {
  /** Class of a SluiceError; `undefined` for any other error. */
  readonly family: string | undefined;
  readonly code: string | undefined;
  readonly message: string;
  readonly facts: ErrorFacts;
  readonly cause: PackedError | undefined;
}

const families = { FormatError, IntegrityError, RegistryError, NotFoundError, CacheError, FuseError, UsageError };

/** Chains of causes are short; a longer one is a loop. */
const maximumDepth = 8;

export function packError(error: unknown, depth = 0): PackedError {
  const cause = error instanceof Error && depth < maximumDepth ? error.cause : undefined;
  const message = error instanceof Error ? error.message : String(error);
  const packedCause = cause === undefined ? undefined : packError(cause, depth + 1);
  if (!(error instanceof SluiceError)) {
    return { family: undefined, code: undefined, message, facts: {}, cause: packedCause };
  }
  return { family: error.name, code: error.code, message, facts: error.facts, cause: packedCause };
}

/** Makes what {@link packError} gave an error again: class, code, facts and causes; not the stack. */
export function reviveError(packed: PackedError): Error {
  const { message, facts } = packed;
  const cause = packed.cause === undefined ? undefined : reviveError(packed.cause);
  const Family = families[packed.family as keyof typeof families];
  if (Family === undefined) return new Error(message, cause === undefined ? undefined : { cause });
  return new Family(packed.code as ErrorCode, message, { facts, cause });
}
