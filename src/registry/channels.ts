import { channel } from 'node:diagnostics_channel';

/** Published on `sluice:registry:token` when a token was asked for, well or not. */
export interface TokenRequested {
  /** Of the token service. */
  readonly host: string;
  readonly durationMs: number;
  /** Undefined when there is a token now. */
  readonly error: unknown;
}
/** Published on `sluice:registry:request` when an HTTP exchange is over, its body included. */
export interface RequestEnded {
  readonly host: string;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly durationMs: number;
  /** Of the body, as far as it was read. */
  readonly bytes: number;
}
/** Published on `sluice:registry:passed-over`: a mirror failed, and the next place is asked. */
export interface PlacePassedOver {
  /** As in `BlobPlace.name`. */
  readonly place: string;
  readonly error: unknown;
}

/** What logs and metrics subscribe to. Nothing in here is, or quotes, a credential. */
export const registryChannels = {
  token: channel('sluice:registry:token'),
  request: channel('sluice:registry:request'),
  passedOver: channel('sluice:registry:passed-over'),
};
