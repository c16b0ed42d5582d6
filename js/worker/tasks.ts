/** The tasks of a pool of workers, by their tickets. */

import { INDEX_MASK } from "../instance.js";
import type { Link } from "./link.js";
import type { ParsedRun } from "./options.js";
import type { Inlet } from "./stream.js";

/** A task from its call to its end. */
export interface Task {
  ticket: number;
  /** The function and how it is called, as it crosses. */
  readonly what: number;
  readonly args: readonly unknown[];
  readonly resolve: (value: unknown, ran: number) => void;
  readonly reject: (error: unknown) => void;
  readonly more: ParsedRun | undefined;
  inlet: Inlet | undefined;
  link: Link | undefined;
  unwatch: (() => void) | undefined;
  timers: ReturnType<typeof setTimeout>[] | undefined;
}

export class Tasks {
  // By the index of their tickets.
  #placed: (Task | undefined)[] = [];
  // Those whose index is another's already, because their end is still to be told.
  readonly #displaced = new Map<number, Task>();

  enter(task: Task): void {
    const index = task.ticket & INDEX_MASK;
    const before = this.#placed[index];
    if (before !== undefined) this.#displaced.set(before.ticket, before);
    this.#placed[index] = task;
  }

  find(ticket: number): Task | undefined {
    const task = this.#placed[ticket & INDEX_MASK];
    return task?.ticket === ticket ? task : this.#displaced.get(ticket);
  }

  remove(task: Task): void {
    const index = task.ticket & INDEX_MASK;
    if (this.#placed[index] === task) this.#placed[index] = undefined;
    else this.#displaced.delete(task.ticket);
  }

  /** Forgets all, and gives those there were. */
  clear(): Task[] {
    const all = [...this.#displaced.values(), ...this.#placed].filter((task) => task !== undefined);
    this.#displaced.clear();
    this.#placed = [];
    return all;
  }
}
