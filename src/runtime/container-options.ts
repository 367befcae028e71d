/** A folder or file of this machine that the container sees. */
export interface Volume {
  /** Absolute, on this machine. */
  readonly source: string;
  /** Absolute, in the container. */
  readonly destination: string;
  readonly readOnly: boolean;
}

/** What a container is run with, on top of what its image says. */
export interface ContainerOptions {
  /** Instead of the image's command; empty: the image's. */
  readonly command: readonly string[];
  /** Instead of the image's entrypoint, whose command goes with it; an empty text stands for none. */
  readonly entrypoint: string | undefined;
  /** `NAME=value`, after the image's own. */
  readonly environment: readonly string[];
  readonly workingDirectory: string | undefined;
  /** `user[:group]`, names or numbers. */
  readonly user: string | undefined;
  readonly volumes: readonly Volume[];
  /** `host`: the network namespace of the caller; `none`: one of its own, with a loopback interface alone. */
  readonly network: 'host' | 'none';
  /** Whether the container gets a terminal, which passes on the caller's. */
  readonly terminal: boolean;
  /** Whether the caller's standard input is the container's; else that is empty. */
  readonly interactive: boolean;
  /** Whether its root file system refuses to be written to. */
  readonly readOnly: boolean;
}
