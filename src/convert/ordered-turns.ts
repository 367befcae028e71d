interface Turn {
  readonly done: Promise<void>;
  readonly finish: () => void;
  readonly fail: (reason: unknown) => void;
}

/** Lets numbered tasks run one part of their work in order of number, while the rest runs side by side. */
export class OrderedTurns {
  readonly #turns: readonly Turn[];

  constructor(count: number) {
    this.#turns = Array.from({ length: count }, () => {
      let finish: () => void = () => undefined;
      let fail: (reason: unknown) => void = () => undefined;
      const done = new Promise<void>((onDone, onFailure) => {
        finish = onDone;
        fail = onFailure;
      });
      // Nobody may be waiting when a task fails; its own promise tells.
      done.catch(() => undefined);
      return { done, finish, fail };
    });
  }

  /**
   * Waits until every lower number has had its turn, then runs `work`.
   * @throws what `work` throws, or the reason why a lower number will never have its turn
   */
  async take<Result>(number: number, work: () => Promise<Result>): Promise<Result> {
    try {
      await this.#turns[number - 1]?.done;
      const result = await work();
      this.#turns[number]?.finish();
      return result;
    } catch (error) {
      this.fail(number, error);
      throw error;
    }
  }

  /** This number will not take its turn: whoever waits behind it need not wait longer. */
  fail(number: number, reason: unknown): void {
    this.#turns[number]?.fail(reason);
  }
}
