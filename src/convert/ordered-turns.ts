/** Lets numbered tasks run one part of their work in order of number, while the rest runs side by side. */
export class OrderedTurns {
  readonly #turns: { readonly done: Promise<void>; readonly finish: () => void }[];

  constructor(count: number) {
    this.#turns = Array.from({ length: count }, () => {
      let finish: () => void = () => undefined;
      const done = new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { done, finish };
    });
  }

  /**
   * Waits until every lower number has had its turn, then runs `work`. A turn that fails passes on all the same: whoever
   * waits behind it must not wait forever, and the failure surfaces where it happened.
   */
  async take<Result>(number: number, work: () => Promise<Result>): Promise<Result> {
    await this.#turns[number - 1]?.done;
    try {
      return await work();
    } finally {
      this.#turns[number]?.finish();
    }
  }
}
