/** What a soak found: each with a name, whether it is as it has to be, and the numbers. */
export class Verdicts {
  #verdicts = [];

  add(name, isGood, numbers) {
    this.#verdicts.push({ name, isGood, numbers });
  }

  get failed() {
    return this.#verdicts.filter(({ isGood }) => !isGood).length;
  }

  /** A table, and the closing line that counts. */
  print() {
    const width = Math.max(...this.#verdicts.map(({ name }) => name.length));
    for (const { name, isGood, numbers } of this.#verdicts) {
      process.stdout.write(`${isGood ? 'ok    ' : 'FAILED'}  ${name.padEnd(width)}  ${numbers}\n`);
    }
    process.stdout.write(`${this.#verdicts.length - this.failed} passed, ${this.failed} failed\n`);
  }
}
