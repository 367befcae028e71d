/** What a request is about. `signed` is a blob at the URL that a redirect gave. */
export type RequestKind = 'ping' | 'manifest' | 'blob' | 'upload' | 'referrers' | 'tags' | 'token' | 'signed' | 'other';

const patterns: readonly (readonly [RegExp, RequestKind])[] = [
  [/^\/v2\/?(\?|$)/, 'ping'],
  [/^\/v2\/.+\/manifests\//, 'manifest'],
  [/^\/v2\/.+\/blobs\/uploads\//, 'upload'],
  [/^\/v2\/.+\/blobs\//, 'blob'],
  [/^\/v2\/.+\/referrers\//, 'referrers'],
  [/^\/v2\/.+\/tags\//, 'tags'],
  [/^\/token(\?|$)/, 'token'],
  [/^\/signed\//, 'signed'],
];

/** @param target - path and query */
export function kindOf(target: string): RequestKind {
  return patterns.find(([pattern]) => pattern.test(target))?.[1] ?? 'other';
}

/** One request as it was seen, and what was sent back. */
export interface RequestRecord {
  readonly kind: RequestKind;
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly range: string | undefined;
  /** `Basic`, `Bearer`, or nothing. */
  readonly authorization: string | undefined;
  /** 0 when the connection was closed without an answer. */
  status: number;
  /** Bytes of the body that were written. */
  bytes: number;
}

/** What was asked of a registry: the means to assert that a client fetched only what it needs. */
export class RequestLog {
  #records: RequestRecord[] = [];

  get all(): readonly RequestRecord[] {
    return this.#records;
  }

  record(record: RequestRecord): void {
    this.#records.push(record);
  }

  of(kind: RequestKind, method?: string): readonly RequestRecord[] {
    return this.#records.filter((record) => record.kind === kind && (method ?? record.method) === record.method);
  }

  /** Body bytes sent for requests of this kind, or of all kinds. */
  bytes(kind?: RequestKind): number {
    return this.#records.reduce(
      (sum, record) => sum + (kind === undefined || record.kind === kind ? record.bytes : 0),
      0,
    );
  }

  clear(): void {
    this.#records = [];
  }
}
