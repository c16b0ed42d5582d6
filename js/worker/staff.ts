/** The workers of a pool: started, asked to exit, ended. */

import { platform } from "#worker-platform";
import type { Events } from "../events.js";
import { type Ears, Link } from "./link.js";
import type { WorkerPoolConfig } from "./options.js";
import type { WorkerEvents } from "./worker-metrics.js";

/** Milliseconds that a worker may take to start. A start takes 20 to 60 ms; this is for one that never will. */
const START_LIMIT = 10_000;
/** Milliseconds that a retired worker may take to say goodbye. */
const GOODBYE = 1000;

export class Staff {
  readonly #config: WorkerPoolConfig;
  readonly #events: Events<WorkerEvents>;
  readonly #ears: Ears;
  readonly #links = new Map<number, Link>();
  readonly #leaving = new Set<Promise<void>>();
  #hired = 0;
  #keeps = false;

  constructor(config: WorkerPoolConfig, events: Events<WorkerEvents>, ears: Ears) {
    this.#config = config;
    this.#events = events;
    this.#ears = ears;
  }

  get size(): number {
    return this.#links.size;
  }

  /** How many have answered since they were started. */
  get ready(): number {
    let ready = 0;
    for (const link of this.#links.values()) if (link.ready) ready += 1;
    return ready;
  }

  get(ticket: number): Link | undefined {
    return this.#links.get(ticket);
  }

  all(): Iterable<Link> {
    return this.#links.values();
  }

  /** The name of the next one. */
  nextName(): string {
    this.#hired += 1;
    return `${this.#config.name}-${this.#hired - 1}`;
  }

  /** @throws what making a worker throws */
  start(ticket: number, name: string): void {
    const make = this.#config.worker ?? platform.own;
    const link = new Link(ticket, name, make({ name }), this.#ears);
    this.#links.set(ticket, link);
    link.keep(this.#keeps);
    const late = () => {
      if (!link.ready)
        this.#ears.gone(link, new Error(`The worker did not start within ${START_LIMIT / 1000} s`));
    };
    link.timer = setTimeout(late, START_LIMIT);
    (link.timer as { unref?: () => void }).unref?.();
    if (this.#events.heard("spawn")) this.#events.emit("spawn", { worker: name });
  }

  /** Asks one to exit. */
  retire(ticket: number): void {
    const link = this.forget(ticket);
    if (link === undefined) return;
    const left = link.retire(GOODBYE).then(() => {
      this.#leaving.delete(left);
      this.#tellExit(link);
    });
    this.#leaving.add(left);
  }

  /** Ends one at once. */
  end(ticket: number): void {
    const link = this.forget(ticket);
    if (link === undefined) return;
    link.end();
    this.#tellExit(link);
  }

  /** Ends all, without a word. */
  clear(): void {
    const links = [...this.#links.values()];
    this.#links.clear();
    for (const link of links) {
      clearTimeout(link.timer);
      link.end();
    }
  }

  /** One is no longer of the pool. */
  forget(ticket: number): Link | undefined {
    const link = this.#links.get(ticket);
    if (link === undefined) return undefined;
    this.#links.delete(ticket);
    clearTimeout(link.timer);
    link.outbox = [];
    return link;
  }

  /** Whether they keep the process alive, where workers do. */
  keep(process: boolean): void {
    this.#keeps = process;
    for (const link of this.#links.values()) link.keep(process);
  }

  /** Resolves when all who were asked to exit have. */
  async left(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  #tellExit(link: Link): void {
    if (this.#events.heard("exit")) this.#events.emit("exit", { worker: link.name });
  }
}
