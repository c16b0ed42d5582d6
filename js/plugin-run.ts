/** One pass of plugins over a target, as the machine decides it. */

import { now, toEpoch } from "./clock.js";
import { isRuntimeTrapError, type RuntimeTrapError } from "./errors.js";
import { bindings } from "./generated/store_bg.js";
import { FAILED, GRANTED, type Handle, LIST, REVOKED } from "./instance.js";
import { reportError } from "./log.js";
import type { Names } from "./names.js";
import type { OrchestratorRunOptions, Plugin, PluginResult } from "./orchestrator.js";
import { Pool, type Submission } from "./pool.js";
import { onAbort } from "./signals.js";
import type { Sink } from "./sink.js";
import { area, ask, hold, open, register, settle, unregister } from "./store.js";

/** How plugins end, as the machine numbers it. */
const ENDS = ["pending", "succeeded", "failed", "skipped", "unavailable", "cancelled"] as const;

/** Who else is told of what happens in a run. */
export interface Listener<A> {
  start(plugin: string): void;
  result(result: PluginResult<A>): void;
}

/** One pass of the plugins over a target. */
export class PluginRun<A> implements Handle {
  readonly #names: Names;
  readonly #plugins: ReadonlyMap<number, Plugin<A>>;
  readonly #target: A;
  readonly #listener: Listener<A>;
  readonly #sink: Sink<PluginResult<A>> | undefined;
  readonly #onProgress: OrchestratorRunOptions<A>["onProgress"];
  readonly #pool: Pool;
  readonly #outcomes = new Map<number, { value: unknown } | { error: unknown }>();
  // Those whose question whether they are available threw.
  readonly #unasked = new Set<number>();
  readonly #working = new Map<number, Submission<unknown>>();
  readonly #results = new Map<number, PluginResult<A>>();
  readonly #written: Promise<unknown>[] = [];
  #workers: number | undefined;
  #reason: unknown;
  #id = -1;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor(
    name: string,
    names: Names,
    plugins: ReadonlyMap<number, Plugin<A>>,
    target: A,
    listener: Listener<A>,
    sink: Sink<PluginResult<A>> | undefined,
    onProgress: OrchestratorRunOptions<A>["onProgress"],
  ) {
    this.#names = names;
    this.#plugins = plugins;
    this.#target = target;
    this.#listener = listener;
    this.#sink = sink;
    this.#onProgress = onProgress;
    this.#pool = new Pool({ name, concurrency: 65_535 });
  }

  async go(
    plugins: () => number,
    active: number,
    maxWorkers: number,
    signal: AbortSignal | undefined,
  ): Promise<PluginResult<A>[]> {
    const over = new Promise<void>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const unwatch = onAbort(signal, () => this.give(signal?.reason));
    try {
      await Promise.race([over, this.#begin(plugins, active, maxWorkers, over)]);
      await over;
      await Promise.all(this.#written);
      return [...this.#plugins.keys()].map((id) => this.#results.get(id) as PluginResult<A>);
    } finally {
      unwatch();
      this.#drop();
      void this.#pool.close({ grace: 0, queued: "reject" });
    }
  }

  /** How many plugins are at work. */
  get running(): number {
    return this.#working.size;
  }

  resize(maxWorkers: number): void {
    this.#workers = maxWorkers;
    if (this.#id < 0) return;
    ask(() => bindings.run_resize(this.#id, now(), maxWorkers));
    settle();
  }

  wake(ticket: number, why: number): void {
    const id = ask(() => bindings.run_plugin(this.#id, ticket));
    const plugin = this.#plugins.get(id);
    if (plugin === undefined) return;
    if (why === GRANTED) this.#start(id, ticket, plugin);
    else if (why === REVOKED || why === FAILED) this.#record(id);
  }

  rebuild(error: RuntimeTrapError): () => void {
    this.#id = -1;
    return () => this.give(error);
  }

  async #begin(
    plugins: () => number,
    active: number,
    maxWorkers: number,
    over: Promise<void>,
  ): Promise<void> {
    over.catch(() => {});
    const away: number[] = [];
    const asked = [...this.#plugins].map(async ([id, plugin]) => {
      try {
        if ((await plugin.available?.(this.#target)) === false) away.push(id);
      } catch (error) {
        this.#unasked.add(id);
        this.#outcomes.set(id, { error });
      }
    });
    await Promise.all(asked);
    if (this.#reason !== undefined) return;
    this.#id = open("runs of plugins", () => {
      for (const id of away) bindings.push_id(id);
      return bindings.run_open(plugins(), now(), active, this.#workers ?? maxWorkers);
    });
    register(this, this.#id, bindings.run_drop);
    hold(this.#id, this);
    // Nobody is woken for those that never took part.
    for (const id of away) this.#record(id);
    settle();
    this.#look();
  }

  #start(id: number, ticket: number, plugin: Plugin<A>): void {
    if (this.#unasked.has(id)) {
      this.#end(id, ticket, true);
      return;
    }
    const results: Record<string, unknown> = Object.create(null);
    for (const need of plugin.needs ?? []) results[need] = this.#results.get(this.#names.id(need))?.value;
    const work = this.#pool.submit((ctx) => plugin.run(this.#target, ctx, results), { name: plugin.name });
    this.#working.set(id, work);
    this.#listener.start(plugin.name);
    const ended = (outcome: { value: unknown } | { error: unknown }) => {
      if (!this.#working.delete(id)) return;
      this.#outcomes.set(id, outcome);
      this.#end(id, ticket, "error" in outcome);
    };
    work.done.then(
      (value) => ended({ value }),
      (error: unknown) => ended({ error }),
    );
  }

  #end(id: number, ticket: number, failed: boolean): void {
    try {
      ask(() => bindings.run_end(this.#id, now(), ticket, failed ? 1 : 0));
      this.#record(id);
      settle();
    } catch (error) {
      // After a trap the run has been rejected with it.
      if (!isRuntimeTrapError(error)) throw error;
    }
  }

  /** Tells the record of a plugin that has come to its end. */
  #record(id: number): void {
    if (this.#id < 0 || this.#results.has(id)) return;
    if (ask(() => bindings.run_record(this.#id, id)) === 0) return;
    const [end, because, start, duration] = area().slice(LIST, LIST + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const status = ENDS[end];
    if (status === undefined || status === "pending") return;
    const never = this.#unasked.has(id) || start < 0;
    this.#tell(id, {
      plugin: this.#names.name(id) as string,
      target: this.#target,
      start: never ? Date.now() : toEpoch(start),
      duration: never ? null : duration,
      status,
      ...(status === "succeeded" || status === "failed" ? this.#outcomes.get(id) : {}),
      ...(because >= 0 ? { because: this.#names.name(because) as string } : {}),
    });
  }

  #tell(id: number, result: PluginResult<A>): void {
    this.#results.set(id, result);
    this.#listener.result(result);
    // What fails to be written is told by the sink.
    if (this.#sink !== undefined) this.#written.push(this.#sink.write(result).catch(() => {}));
    try {
      this.#onProgress?.(this.#results.size, this.#plugins.size);
    } catch (error) {
      reportError(error);
    }
    this.#look();
  }

  /** Ends the run when every plugin is over. */
  #look(): void {
    if (this.#results.size === this.#plugins.size) this.#resolve();
  }

  /** Gives everything up, in this tick. */
  give(reason: unknown): void {
    this.#reason = { reason };
    this.#reject(reason);
    if (this.#id >= 0) {
      ask(() => bindings.run_cancel(this.#id, now()));
      settle();
    }
    const working = [...this.#working.values()];
    this.#working.clear();
    for (const work of working) work.cancel(reason);
  }

  #drop(): void {
    if (this.#id < 0) return;
    unregister(this, this.#id);
    ask(() => bindings.run_drop(this.#id));
    this.#id = -1;
    settle();
  }
}
