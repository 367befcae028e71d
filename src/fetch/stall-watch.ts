import { RegistryError } from '../errors.ts';

/** A body that is silent for so long has failed, whatever its connection thinks. */
const STALL_MS = 8_000;
/** The same where another place can be asked: sooner than a person gives up. */
const STALL_WITH_ALTERNATIVE_MS = 2_500;

/** Ends a request that has gone silent. */
export class StallWatch {
  readonly #timer: NodeJS.Timeout;

  /**
   * @param place - for the message
   * @param hasAlternative - whether there is another place to ask
   */
  constructor(controller: AbortController, place: string, hasAlternative: boolean) {
    const ms = hasAlternative ? STALL_WITH_ALTERNATIVE_MS : STALL_MS;
    const fail = (): void => {
      const message = `Cannot read from "${place}": nothing came for ${ms / 1000} s`;
      controller.abort(new RegistryError('SLUICE_REGISTRY_TIMEOUT', message, { facts: { place } }));
    };
    this.#timer = setTimeout(fail, ms);
  }

  /** Something came. */
  renew(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
