/** Versioned values that isolates all over the world share. */

import { ConflictError } from "../errors.js";
import { integer, nameOf, object } from "../options.js";
import { sleep } from "../sleep.js";
import type { Coordinator } from "./coordinator.js";

/** A value and how often it has been written. */
export interface SharedValue<V> {
  readonly value: V;
  readonly version: number;
}

/**
 * Values by key, with compare-and-set and an `update` that loses no write. Values cross as JSON. While the coordinator cannot be
 * reached nothing is read or written, whatever its `unreachable` says.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedState } from "tidegate/edge";
 *
 * const state = new SharedState<string>(localCoordinator(), { name: "flags" });
 * await state.set("colour", "blue");
 * console.log(await state.compareAndSet("colour", 1, "red"), await state.compareAndSet("colour", 1, "green")); // → true false
 * ```
 */
export class SharedState<V> {
  /** The name under which all isolates mean the same values. */
  readonly name: string;
  readonly #coordinator: Coordinator;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(coordinator: Coordinator, options: { name: string }) {
    object("options", options);
    this.name = nameOf(options, "shared state");
    this.#coordinator = coordinator;
  }

  /** The value, if there is one. @throws CoordinatorUnreachableError */
  async get(key: string): Promise<SharedValue<V> | undefined> {
    const { value, version } = await this.#coordinator.ask(this.#key(key), { kind: "read" });
    return version === 0 ? undefined : { value: value as V, version };
  }

  /** Writes a value, and gives its version. @throws CoordinatorUnreachableError */
  async set(key: string, value: V): Promise<number> {
    return (await this.#coordinator.ask(this.#key(key), { kind: "write", value })).version;
  }

  /** Writes a value if `version` is the one that is there, 0 for none. @throws CoordinatorUnreachableError */
  async compareAndSet(key: string, version: number, value: V): Promise<boolean> {
    integer("version", version, 0);
    return (await this.#coordinator.ask(this.#key(key), { kind: "write", value, version })).written;
  }

  /**
   * Writes what `fn` makes of the value, again and again until nobody came in between.
   *
   * @throws ConflictError after a hundred times; CoordinatorUnreachableError; whatever `fn` throws
   */
  async update(key: string, fn: (value: V | undefined) => V | PromiseLike<V>): Promise<V> {
    let seen = await this.get(key);
    for (let attempt = 0; attempt < 100; attempt += 1) {
      const value = await fn(seen?.value);
      const answer = await this.#coordinator.ask(this.#key(key), {
        kind: "write",
        value,
        version: seen?.version ?? 0,
      });
      if (answer.written) return value;
      seen = answer.version === 0 ? undefined : { value: answer.value as V, version: answer.version };
      await sleep(Math.random() * Math.min(50, attempt), undefined);
    }
    throw new ConflictError(
      `Value "${key}" of "${this.name}" was written by somebody else a hundred times`,
      [],
    );
  }

  #key(key: string): string {
    return `state:${this.name}:${key}`;
  }
}
