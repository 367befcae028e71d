import { channel } from 'node:diagnostics_channel';

/** Published on `sluice:image:stale`: a tag's place did not answer, and the image it named last time is opened. */
export interface ImageStale {
  readonly image: string;
  /** Of its manifest. */
  readonly digest: string;
  /** When the place said so, ISO 8601. */
  readonly at: string;
  /** Why it is not asked, or what it answered. */
  readonly error: unknown;
}

/** What logs and metrics subscribe to. */
export const imageChannels = { stale: channel('sluice:image:stale') };
