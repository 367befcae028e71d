import { channel } from 'node:diagnostics_channel';

/** What every message has. */
interface OfHotBlob {
  /** Digest of the hot blob. */
  readonly blob: string;
}
/** Published on `sluice:hot:index`: what will come is known. */
export interface HotIndexRead extends OfHotBlob {
  readonly pages: number;
  readonly groups: number;
}
/** Published on `sluice:hot:group`: pages came and were found right. */
export interface HotGroupRead extends OfHotBlob {
  readonly pages: number;
  /** Of the stream up to here, bytes. */
  readonly received: number;
}
/** Published on `sluice:hot:done`: all there was room for is there. */
export interface HotDone extends OfHotBlob {
  readonly pages: number;
  /** Bytes of the hot blob that were received; none when it was in the cache. */
  readonly received: number;
}
/** Published on `sluice:hot:failed`: no more will come, and reads go on without. */
export interface HotFailed extends OfHotBlob {
  readonly error: unknown;
}

/** What logs and metrics subscribe to. */
export const hotChannels = {
  index: channel('sluice:hot:index'),
  group: channel('sluice:hot:group'),
  done: channel('sluice:hot:done'),
  failed: channel('sluice:hot:failed'),
};
