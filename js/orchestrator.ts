import { now, toEpoch } from "./clock.js";
import { dispose } from "./dispose.js";
import { ClosedError, CycleError, isRuntimeTrapError, type RuntimeTrapError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import * as bindings from "./generated/store_bg.js";
import type { Results } from "./graph.js";
import { FAILED, GRANTED, type Handle, LIST, REVOKED, TICKET_SPAN } from "./instance.js";
import { reportError } from "./log.js";
import { Names } from "./names.js";
import { abortSignal, callable, choice, integer, nameOf, object, reject } from "./options.js";
import { Pool, type Submission } from "./pool.js";
import { onAbort } from "./signals.js";
import type { Sink } from "./sink.js";
import { area, ask, detail, hold, open, register, settle, unregister } from "./store.js";
import type { TaskContext } from "./work.js";

/** One thing to do with a target. */
export interface Plugin<A = unknown> {
  name: string;
  /** Whether it does only what any client would. A run in active mode includes the passive plugins. */
  mode: "passive" | "active";
  /** −100 to 100, higher first among those that may start. @default 0 */
  priority?: number;
  /** How many workers it takes. @default 1 */
  weight?: number;
  /** The plugins whose results it is handed; it is skipped when one of them gave none or does not take part. */
  needs?: readonly string[];
  /** Whether there is anything for it to do here; an error is its one error result. @default it is */
  available?(target: A): boolean | PromiseLike<boolean>;
  run(target: A, ctx: TaskContext, results: Results): unknown;
}

/** How plugins are run. */
export interface OrchestratorRunOptions<A = unknown> {
  /** @default "passive" */
  mode?: "passive" | "active";
  /** Workers at first; `resize` changes it meanwhile. One means strict order. @default what the orchestrator has */
  maxWorkers?: number;
  /** Cancels every plugin; the run rejects with its reason. */
  signal?: AbortSignal;
  /** Written to as each plugin ends, one result at a time; the run waits for it. What it throws is told by its `error` event. */
  sink?: Sink<PluginResult<A>>;
  /** Called each time a plugin has come to its end. */
  onProgress?(done: number, total: number): void;
}

/** The one record of a plugin in a run. */
export interface PluginResult<A = unknown> {
  readonly plugin: string;
  readonly target: A;
  /** When it began, or when it was decided that it does not, in epoch milliseconds. */
  readonly start: number;
  /** Milliseconds it ran; null where it never began. */
  readonly duration: number | null;
  readonly status: "succeeded" | "failed" | "skipped" | "unavailable" | "cancelled";
  /** What it gave. */
  readonly value?: unknown;
  /** What it threw. */
  readonly error?: unknown;
  /** The plugin because of which it was skipped. */
  readonly because?: string;
}

/** What an orchestrator tells those who listen. */
export interface OrchestratorEvents<A = unknown> {
  /** A plugin begins. */
  start: { readonly plugin: string; readonly target: A };
  /** A plugin has come to its end, or never began. */
  result: PluginResult<A>;
}

/** Every number of an orchestrator. */
export interface OrchestratorMetrics {
  readonly name: string;
  /** Plugins that are registered. */
  readonly plugins: number;
  /** Workers that a run has unless it says otherwise. */
  readonly maxWorkers: number;
  /** Runs under way. */
  readonly runs: number;
  /** Plugins at work, over all runs. */
  readonly running: number;
  /** Results so far, over all runs. */
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly unavailable: number;
  readonly cancelled: number;
}

/**
 * Plugins over a target, so many at once, in the order of their needs, priorities and registration. Each that the mode admits ends in
 * exactly one result, also where it failed before it began; one plugin's failure is its own.
 *
 * @example
 * ```ts
 * import { Orchestrator } from "tidegate";
 *
 * const plugins = new Orchestrator<string>();
 * plugins.register({ name: "length", mode: "passive", run: async (text) => text.length });
 * plugins.register({ name: "double", mode: "passive", needs: ["length"], run: (_text, _ctx, of) => (of.length as number) * 2 });
 * const results = await plugins.run("four", { maxWorkers: 3 });
 * console.log(results.map(({ value }) => value).join()); // → 4,8
 * ```
 */
export class Orchestrator<A = unknown> implements Handle {
  /** @internal */
  readonly kind = "orchestrator";
  readonly #name: string;
  readonly #events: Events<OrchestratorEvents<A>>;
  readonly #names = new Names();
  readonly #plugins = new Map<number, Plugin<A>>();
  readonly #runs = new Set<Run<A>>();
  readonly #results = { succeeded: 0, failed: 0, skipped: 0, unavailable: 0, cancelled: 0 };
  #maxWorkers: number;
  #closed = false;
  #id: number;

  /**
   * @default maxWorkers 5, name "orchestrator"
   * @throws TypeError where an option is not what it should be; the message names it.
   */
  constructor(options: { name?: string; maxWorkers?: number } = {}) {
    this.#name = nameOf(options, "orchestrator");
    this.#events = new Events("orchestrator", this.#name);
    this.#maxWorkers = integer("maxWorkers", options.maxWorkers ?? 5, 1, 65_535);
    this.#id = open("orchestrators", bindings.plugins_open);
    register(this, this.#id, bindings.plugins_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Registers a plugin. What it needs may be registered later, or never: then it is skipped.
   *
   * @throws CycleError, naming the way round; TypeError where the name is taken or an option is not what it should be; ClosedError
   */
  register(plugin: Plugin<A>): this {
    if (this.#closed) throw this.#over();
    if (object("plugin", plugin) === undefined) reject("plugin", "an object", plugin);
    const { name, mode, priority = 0, weight = 1, needs = [], available, run } = plugin;
    if (typeof name !== "string") reject("name", "a string", name);
    choice("mode", mode, ["passive", "active"]);
    integer("priority", priority, -100, 100);
    integer("weight", weight, 1, 65_535);
    if (!Array.isArray(needs) || needs.some((need) => typeof need !== "string"))
      reject("needs", "an array of strings", needs);
    if (available !== undefined) callable("available", available);
    callable("run", run);
    const answer = ask(() => this.#enter(plugin));
    if (answer >= TICKET_SPAN) {
      const code = answer % TICKET_SPAN;
      if (code === 0) throw new TypeError(`There is a plugin \`${name}\` already`);
      if (code !== 1) throw new RangeError("There can be no more plugins than 2^24");
      const cycle = Array.from({ length: detail() }, (_, n) => this.#names.name(bindings.told(n)) as string);
      cycle.push(cycle[0] as string);
      const way = cycle.map((each) => `\`${each}\``).join(" → ");
      throw new CycleError(`The plugins need each other in a circle: ${way}`, cycle);
    }
    this.#plugins.set(this.#names.id(name), plugin);
    return this;
  }

  /**
   * Asks the plugins that the mode admits whether they are available, runs them, and gives their results in the order of registration.
   *
   * @throws after an abort `signal.reason`; ClosedError
   */
  async run(target: A, options: OrchestratorRunOptions<A> = {}): Promise<PluginResult<A>[]> {
    if (object("options", options) === undefined) reject("options", "an object", options);
    const { mode = "passive", maxWorkers = this.#maxWorkers, sink, onProgress } = options;
    choice("mode", mode, ["passive", "active"]);
    integer("maxWorkers", maxWorkers, 1, 65_535);
    const signal = abortSignal("signal", options.signal);
    if (sink !== undefined) callable("sink.write", sink?.write);
    if (onProgress !== undefined) callable("onProgress", onProgress);
    if (this.#closed) throw this.#over();
    signal?.throwIfAborted();
    const plugins = new Map(
      [...this.#plugins].filter(([, plugin]) => mode === "active" || plugin.mode !== "active"),
    );
    const tell = {
      start: (plugin: string) => {
        if (this.#events.heard("start")) this.#events.emit("start", { plugin, target });
      },
      result: (result: PluginResult<A>) => {
        this.#results[result.status] += 1;
        if (this.#events.heard("result")) this.#events.emit("result", result);
      },
    };
    const run = new Run(this.#name, this.#names, plugins, target, tell, sink, onProgress);
    this.#runs.add(run);
    try {
      return await run.go(() => this.#id, mode === "active" ? 1 : 0, maxWorkers, signal);
    } finally {
      this.#runs.delete(run);
    }
  }

  /** Changes the number of workers, of runs under way too: plugins above a lower number run on. */
  resize(maxWorkers: number): void {
    this.#maxWorkers = integer("maxWorkers", maxWorkers, 1, 65_535);
    for (const run of this.#runs) run.resize(maxWorkers);
  }

  /** Takes no more plugins and begins no more runs; those under way are cancelled and reject with `ClosedError`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const run of this.#runs) run.give(this.#over());
    unregister(this, this.#id);
    ask(() => bindings.plugins_drop(this.#id));
    settle();
  }

  /** What is registered, what is at work, and what has come of it. */
  metrics(): OrchestratorMetrics {
    let running = 0;
    for (const run of this.#runs) running += run.running;
    return {
      name: this.#name,
      plugins: this.#plugins.size,
      maxWorkers: this.#maxWorkers,
      runs: this.#runs.size,
      running,
      ...this.#results,
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof OrchestratorEvents<A>>(
    event: K,
    fn: (detail: OrchestratorEvents<A>[K]) => void,
  ): Disposer {
    return this.#events.on(event, fn);
  }

  [dispose](): void {
    this.close();
  }

  /** @internal Nobody waits for a register. */
  wake(): void {}

  /** @internal */
  rebuild(): () => void {
    this.#id = bindings.plugins_open();
    register(this, this.#id, bindings.plugins_drop);
    for (const plugin of this.#plugins.values()) this.#enter(plugin);
    return () => {};
  }

  #over(): ClosedError {
    return new ClosedError(`The orchestrator \`${this.#name}\` is closed`);
  }

  #enter({ name, mode, priority = 0, weight = 1, needs = [] }: Plugin<A>): number {
    for (const need of needs) bindings.push_id(this.#names.id(need));
    const active = mode === "active" ? 1 : 0;
    return bindings.plugins_register(this.#id, this.#names.id(name), active, priority, weight);
  }
}

/** How plugins end, as the machine numbers it. */
const ENDS = ["pending", "succeeded", "failed", "skipped", "unavailable", "cancelled"] as const;

/** Who else is told of what happens in a run. */
interface Listener<A> {
  start(plugin: string): void;
  result(result: PluginResult<A>): void;
}

/** One pass of the plugins over a target. */
class Run<A> implements Handle {
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
