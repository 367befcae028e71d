import { type ErrorFacts, SluiceError } from '../errors.ts';
import type { LogLevel } from './levels.ts';
import { isSecret, redact } from './redact.ts';

/** Anything: errors and bigints are written in a form of their own, and other objects as JSON. */
export type LogFacts = Readonly<Record<string, unknown>>;

/** What happened, in plain data that JSON can hold: bounded, and without credentials. */
export interface LogRecord {
  /** ISO 8601, UTC. */
  readonly time: string;
  readonly level: LogLevel;
  /** A name for machines: `fetch:retry`. */
  readonly event: string;
  readonly facts: Readonly<Record<string, FactValue>>;
}

export type FactValue = string | number | boolean | null | LoggedError;

/** As `--json` prints errors, too. */
export interface LoggedError {
  /** Undefined for errors that are not of ours. */
  readonly code: string | undefined;
  /** Of a bug, the stack. */
  readonly message: string;
  readonly facts: Readonly<Record<string, FactValue>>;
  /** Messages, the nearest first; those that are quoted by the one before are left out. */
  readonly causes: readonly string[];
}

/** A server's words can be as long as it likes. */
const maximumText = 2000;

/** Chains of causes are short; a longer one is a loop. */
const maximumCauses = 8;

export function recordOf(time: Date, level: LogLevel, event: string, facts: LogFacts): LogRecord {
  return { time: time.toISOString(), level, event, facts: factsOf(facts) };
}

function factsOf(facts: LogFacts | ErrorFacts): Record<string, FactValue> {
  const entries = Object.entries(facts).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [name, isSecret(name) ? '[redacted]' : factOf(value)]));
}

function factOf(value: unknown): FactValue {
  if (typeof value === 'number') return numberOf(value);
  if (typeof value === 'boolean' || value === null) return value;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Error) return errorOf(value);
  return textOf(typeof value === 'object' ? jsonOf(value) : String(value));
}

/** Nobody needs the digits of a clock. */
function numberOf(value: number): number | string {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? value : Number(value.toFixed(3));
}

/** A circle, or a bigint within, is no reason to fail. */
function jsonOf(value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '[object]';
  }
}

function errorOf(error: Error): LoggedError {
  const isOurs = error instanceof SluiceError;
  const causes: string[] = [];
  let { cause } = error;
  for (let depth = 0; cause instanceof Error && depth < maximumCauses; depth++, cause = cause.cause) {
    const message = textOf(cause.message);
    if (!(causes.at(-1) ?? textOf(error.message)).includes(message)) causes.push(message);
  }
  return {
    code: isOurs ? error.code : undefined,
    message: textOf(isOurs ? error.message : descriptionOf(error)),
    facts: isOurs ? factsOf(error.facts) : {},
    causes,
  };
}

/** What a caller's bug throws; where it is says the stack alone. */
const bugs = [TypeError, RangeError, ReferenceError];

function descriptionOf(error: Error): string {
  const isBug = bugs.some((Bug) => error instanceof Bug);
  return isBug && error.stack !== undefined ? error.stack : String(error);
}

function textOf(text: string): string {
  return redact(text.length > maximumText ? `${text.slice(0, maximumText)}…` : text);
}
