import { channel } from 'node:diagnostics_channel';

/** Published on `sluice:mount:read-failed`: a reader got an error. */
export interface ReadFailed {
  /** The image's reference. */
  readonly image: string;
  /** Canonical. */
  readonly mountPoint: string;
  /** Of the file, in the image, for people; undefined when it has none. */
  readonly path: string | undefined;
  /** Where in the file, bytes. */
  readonly offset: number;
  readonly error: unknown;
}

/** What logs and metrics subscribe to. */
export const missChannels = { failed: channel('sluice:mount:read-failed') };
