/**
 * The names of locks as numbers. A number is never given to another name, for the machine remembers in which order it was
 * taken.
 */
export class LockNames {
  readonly #numbers = new Map<string, number>();
  readonly #names = new Map<number, string>();
  readonly #declared: number;
  #next = 0;
  // So many are kept though nobody holds them: more than a program has of its own. Names made of data go.
  #sweepAbove = 1024;

  constructor(declared: readonly string[]) {
    for (const name of declared) this.number(name);
    this.#declared = this.#next;
  }

  number(name: string): number {
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#next;
      this.#next += 1;
      this.#numbers.set(name, number);
      this.#names.set(number, name);
    }
    return number;
  }

  find(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  name(number: number): string {
    return this.#names.get(number) ?? "?";
  }

  /** Forgets names that nobody uses, when there are many. */
  sweep(isIdle: (number: number) => boolean): void {
    if (this.#names.size <= this.#sweepAbove) return;
    for (const [number, name] of this.#names) {
      if (number < this.#declared || !isIdle(number)) continue;
      this.#names.delete(number);
      this.#numbers.delete(name);
    }
    this.#sweepAbove = Math.max(1024, this.#names.size * 2);
  }
}
