import { type ErrorCode, type ErrorFacts, NotFoundError, RegistryError } from '../errors.ts';
import type { Secrets } from './secrets.ts';
import { redactUrl } from './url.ts';

const timeouts: ReadonlySet<string> = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);

/** Trying again does not help against a certificate nobody trusts, or a server that does not speak HTTP. */
const protocol = /CERT|_TLS(?:_|$)|_SSL_|SIGNATURE|^HPE_|^UND_ERR_(HEADERS_OVERFLOW|RESPONSE)/;

function codeOf(error: unknown): string {
  const cause = error instanceof AggregateError ? error.errors[0] : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? code : '';
}

/**
 * What a request that got no answer, or half of one, is thrown as. Errors of ours and aborts pass unchanged.
 */
export function networkError(error: unknown, url: URL, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  if (error instanceof RegistryError || error instanceof NotFoundError) return error;
  const reason = codeOf(error);
  let code: ErrorCode = 'SLUICE_REGISTRY_UNREACHABLE';
  if (timeouts.has(reason)) code = 'SLUICE_REGISTRY_TIMEOUT';
  else if (protocol.test(reason)) code = 'SLUICE_REGISTRY_PROTOCOL';
  const why = error instanceof Error && error.message !== '' ? error.message : reason || 'connection failed';
  return new RegistryError(code, `Cannot reach "${redactUrl(url)}": ${why}`, {
    facts: { url: redactUrl(url), reason },
    // The parser's errors quote what it could not parse: a server may repeat what it was sent.
    ...(reason.startsWith('HPE_') ? {} : { cause: error }),
  });
}

/** Longest `Retry-After` taken seriously; a longer one is reported at once, not waited for. */
const maximumRetryAfterMs = 24 * 3600 * 1000;

/** Source: RFC 9110, 10.2.3: seconds or a date. */
function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maximumRetryAfterMs);
}

/** Source: OCI distribution-spec 1.1, "Error Codes". */
function registryFacts(body: Uint8Array, secrets: Secrets): { registryCode?: string; registryMessage?: string } {
  try {
    const { code, message } = JSON.parse(Buffer.from(body).toString('utf8')).errors[0];
    return {
      ...(typeof code === 'string' ? { registryCode: secrets.hide(code).slice(0, 100) } : {}),
      ...(typeof message === 'string' ? { registryMessage: secrets.hide(message).slice(0, 300) } : {}),
    };
  } catch {
    return {};
  }
}

function codeFor(status: number): ErrorCode {
  if (status === 401) return 'SLUICE_REGISTRY_UNAUTHORIZED';
  if (status === 403) return 'SLUICE_REGISTRY_DENIED';
  if (status === 416) return 'SLUICE_REGISTRY_RANGE';
  if (status === 429) return 'SLUICE_REGISTRY_TOO_MANY_REQUESTS';
  return status >= 500 || status === 408 ? 'SLUICE_REGISTRY_UNAVAILABLE' : 'SLUICE_REGISTRY_PROTOCOL';
}

export interface FailedResponse {
  readonly status: number;
  readonly url: URL;
  readonly retryAfter: string | undefined;
  /** As much of it as was read. */
  readonly body: Uint8Array;
  /** What is not repeated, when the answer does. */
  readonly secrets: Secrets;
}

/**
 * The error for an answer that is not the one wanted. The registry's own code and words are in its facts.
 *
 * @param action - what could not be done: `read blob sha256:…`
 * @param missing - the code a 404 gets
 */
export function responseError(
  response: FailedResponse,
  action: string,
  missing: 'SLUICE_IMAGE_NOT_FOUND' | 'SLUICE_BLOB_NOT_FOUND',
): NotFoundError | RegistryError {
  const { status } = response;
  const url = response.secrets.hide(redactUrl(response.url));
  const said = registryFacts(response.body, response.secrets);
  const facts: ErrorFacts = {
    status,
    url,
    ...said,
    retryAfterMs: retryAfterMs(response.retryAfter),
  };
  const words = [said.registryCode, said.registryMessage].filter(Boolean).join(' ');
  const message = `Cannot ${action}: ${url} answered ${status}${words ? ` (${words})` : ''}`;
  if (status === 404) return new NotFoundError(missing, message, { facts });
  return new RegistryError(codeFor(status), message, { facts });
}
