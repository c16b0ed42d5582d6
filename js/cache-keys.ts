/** The keys and tags of a cache as numbers, with the hash by which the machine counts how often each is asked for. */

import { hashOf, Names } from "./names.js";

export class CacheKeys {
  #names = new Names();
  // By number.
  #hashes: number[] = [];

  find(key: string): number | undefined {
    return this.#names.find(key);
  }

  /** Its number, a new one where it has none. */
  number(key: string): number {
    const known = this.#names.find(key);
    if (known !== undefined) return known;
    const id = this.#names.id(key);
    this.#hashes[id] = hashOf(key);
    return id;
  }

  hash(id: number): number {
    return this.#hashes[id] as number;
  }

  name(id: number): string | undefined {
    return this.#names.name(id);
  }

  forget(id: number): void {
    this.#names.forget(id);
  }
}
