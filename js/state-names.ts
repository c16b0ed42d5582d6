import { Names } from "./names.js";

/** A prefix and a name that are spelt alike are two things. */
interface Prefix {
  readonly prefix: string;
}

/** The keys of a state and the prefixes that are listened to, by the numbers under which the machine knows them. */
export class StateNames {
  readonly #names = new Names<string | Prefix>();
  readonly #prefixes = new Map<string, Prefix>();
  readonly #join: (key: number, prefix: number) => void;

  /** Only here can names be compared: `join` is told which keys have which prefix. */
  constructor(join: (key: number, prefix: number) => void) {
    this.#join = join;
  }

  /** The number of a key that has one. */
  find(key: string): number | undefined {
    return this.#names.find(key);
  }

  /** The number of a key, a new one if it has none. */
  key(key: string): number {
    const known = this.#names.find(key);
    if (known !== undefined) return known;
    const id = this.#names.id(key);
    for (const prefix of this.#prefixes.values()) {
      if (key.startsWith(prefix.prefix)) this.#join(id, this.#names.id(prefix));
    }
    return id;
  }

  /** The number of a prefix. */
  prefix(prefix: string): number {
    let known = this.#prefixes.get(prefix);
    if (known === undefined) {
      this.#prefixes.set(prefix, (known = { prefix }));
      this.#joinMembers(known);
    }
    return this.#names.id(known);
  }

  /** The key of a number; `undefined` for that of a prefix. */
  keyOf(id: number): string | undefined {
    const name = this.#names.name(id);
    return typeof name === "string" ? name : undefined;
  }

  /** Every key with its number, oldest first. */
  *keys(): Generator<[key: string, id: number]> {
    for (const [name, id] of this.#names.entries()) if (typeof name === "string") yield [name, id];
  }

  /** Whether a number stands for something. */
  has(id: number): boolean {
    return this.#names.name(id) !== undefined;
  }

  forget(id: number): void {
    const name = this.#names.name(id);
    this.#names.forget(id);
    if (typeof name === "object") this.#prefixes.delete(name.prefix);
  }

  /** Says all of it again, to a machine that knows nothing yet. */
  joinAll(): void {
    for (const prefix of this.#prefixes.values()) this.#joinMembers(prefix);
  }

  #joinMembers(prefix: Prefix): void {
    const prefixId = this.#names.id(prefix);
    for (const [name, id] of this.keys()) if (name.startsWith(prefix.prefix)) this.#join(id, prefixId);
  }
}
