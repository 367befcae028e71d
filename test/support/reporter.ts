import type { Reporter, TestModule } from 'vitest/node';

/**
 * Prints `N passed, N failed` (and `, N skipped`) as the very last line, after the summary of vitest's own reporter
 * and after the global teardown. A file that does not load, an unhandled error and a leak count as one failure each.
 */
export class CountReporter implements Reporter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;

  onInit(): void {
    process.once('exit', () => this.#print());
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    for (const module of modules) this.#count(module);
    this.#failed += unhandledErrors.length;
  }

  #count(module: TestModule): void {
    this.#failed += module.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') this.#passed += 1;
      else if (state === 'skipped') this.#skipped += 1;
      else this.#failed += 1;
    }
    for (const suite of module.children.allSuites()) this.#failed += suite.errors().length;
  }

  #print(): void {
    // Nothing counted and a bad exit status: a teardown failed, or no test ran at all.
    if (this.#failed === 0 && (process.exitCode ?? 0) !== 0) this.#failed = 1;
    const skipped = this.#skipped > 0 ? `, ${this.#skipped} skipped` : '';
    process.stdout.write(`${this.#passed} passed, ${this.#failed} failed${skipped}\n`);
  }
}
