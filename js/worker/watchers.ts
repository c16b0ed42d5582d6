/** Those who wait until something is so. */

export class Watchers {
  readonly #all = new Set<() => void>();
  readonly #changed: () => void;

  /** `changed` is called when somebody comes or leaves. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get some(): boolean {
    return this.#all.size > 0;
  }

  /** Resolves once `is` says yes; it is asked at every {@link look}. */
  until(is: () => boolean): Promise<void> {
    if (is()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!is()) return;
        this.#all.delete(look);
        this.#changed();
        resolve();
      };
      this.#all.add(look);
      this.#changed();
    });
  }

  look(): void {
    for (const look of [...this.#all]) look();
  }
}
