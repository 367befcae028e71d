/** How it is seen that a container is ready to do its work. */
export type Readiness =
  /** It ended, with this status. */
  | { readonly kind: 'exit'; readonly status: number }
  /** A line of its output matches; a regular expression. */
  | { readonly kind: 'line'; readonly pattern: string }
  /** A connection to this port is accepted. */
  | { readonly kind: 'tcp'; readonly port: number }
  /** GET answers 200. */
  | { readonly kind: 'http'; readonly port: number; readonly path: string };

/** What `sluice bench` starts: an image, what runs in it, and when that counts as ready. */
export interface Workload {
  readonly name: string;
  /** A reference with its transport: `oci:DIR:TAG`, `docker://…`. */
  readonly image: string;
  /** Instead of the image's own command. */
  readonly command: readonly string[] | undefined;
  /** On top of the image's own. */
  readonly environment: Readonly<Record<string, string>>;
  readonly ready: Readiness;
  readonly timeoutMs: number;
}
