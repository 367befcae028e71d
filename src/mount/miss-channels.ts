import { channel } from 'node:diagnostics_channel';

/** Published on `sluice:mount:read-failed`: a reader got an error. */
export interface ReadFailed {
  /** Canonical. */
  readonly mountPoint: string;
  /** The file; its path can be found from the bootstrap. */
  readonly nid: number;
  /** Where in the file, bytes. */
  readonly offset: number;
  readonly error: unknown;
}

/** What logs and metrics subscribe to. */
export const missChannels = { failed: channel('sluice:mount:read-failed') };
