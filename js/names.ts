/** Names as the small numbers by which machines know them; a forgotten number goes to the next new name. */
export class Names<K = string> {
  readonly #ids = new Map<K, number>();
  readonly #names: (K | undefined)[] = [];
  readonly #free: number[] = [];

  /** The number of a name, a new one if it has none. */
  id(name: K): number {
    let id = this.#ids.get(name);
    if (id === undefined) {
      id = this.#free.pop() ?? this.#names.length;
      this.#names[id] = name;
      this.#ids.set(name, id);
    }
    return id;
  }

  /** The number of a name that has one. */
  find(name: K): number | undefined {
    return this.#ids.get(name);
  }

  /** The name of a number. */
  name(id: number): K | undefined {
    return this.#names[id];
  }

  /** Takes the name off a number. */
  forget(id: number): void {
    const name = this.#names[id];
    if (name === undefined) return;
    this.#names[id] = undefined;
    this.#ids.delete(name);
    this.#free.push(id);
  }

  /** Every name with its number, oldest first. */
  entries(): Iterable<[K, number]> {
    return this.#ids;
  }
}

/**
 * 32 well spread bits of a name, the same in every run: FNV-1a over its UTF-16 code units (Fowler, Noll, Vo), with the
 * finaliser of MurmurHash3 (Appleby), since the upper bits of FNV of short names differ little.
 */
export function hashOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
