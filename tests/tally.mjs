/**
 * What the suites found, added up.
 */

export class Tally {
  passed = 0;
  /** @type {string[]} one line for each failure */
  failures = [];
  /** @type {string[]} one line for each skip, with its reason */
  skips = [];
  #failed = 0;

  get failed() {
    return this.#failed;
  }

  pass(count = 1) {
    this.passed += count;
  }

  fail(line, count = 1) {
    this.#failed += count;
    this.failures.push(line);
  }

  skip(line) {
    this.skips.push(line);
  }

  add(other, prefix) {
    this.passed += other.passed;
    this.#failed += other.failed;
    this.failures.push(...other.failures.map((line) => `${prefix}: ${line}`));
    this.skips.push(...other.skips.map((line) => `${prefix}: ${line}`));
  }

  toString() {
    return `${this.passed} passed, ${this.failed} failed, ${this.skips.length} skipped`;
  }
}
