import type { Extra } from "./work.js";

/** Keys as the small numbers that cross to the machine. A key that nobody uses is forgotten. */
export class Keys {
  #known: Map<string, { id: number; users: number }> | undefined;
  #free: number[] = [];
  #last = 0;

  /** The number of a key, for one more user of it; 0 for none. */
  intern(key: string | undefined): number {
    if (key === undefined) return 0;
    this.#known ??= new Map();
    let known = this.#known.get(key);
    if (known === undefined)
      this.#known.set(key, (known = { id: this.#free.pop() ?? ++this.#last, users: 0 }));
    known.users += 1;
    return known.id;
  }

  /** One user less. */
  release(extra: Extra | undefined): void {
    const key = extra?.key;
    if (key === undefined) return;
    const known = this.#known?.get(key);
    if (known === undefined) return;
    known.users -= 1;
    if (known.users > 0) return;
    this.#known?.delete(key);
    this.#free.push(known.id);
  }
}
