/** A controller whose signal counts the listeners it has. */
export class Watched {
  readonly #controller = new AbortController();
  readonly #listeners = new Set<unknown>();
  readonly signal = this.#controller.signal;

  constructor() {
    const { signal } = this;
    const add = signal.addEventListener.bind(signal) as AbortSignal["addEventListener"];
    const remove = signal.removeEventListener.bind(signal) as AbortSignal["removeEventListener"];
    signal.addEventListener = ((type: string, fn: EventListener) => {
      this.#listeners.add(fn);
      add(type, fn);
    }) as typeof signal.addEventListener;
    signal.removeEventListener = ((type: string, fn: EventListener) => {
      this.#listeners.delete(fn);
      remove(type, fn);
    }) as typeof signal.removeEventListener;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  abort(why = "aborted"): void {
    this.#controller.abort(new Error(why));
  }
}
