import { dispose } from "./dispose.js";
import { ClosedError, CycleError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import type { Results } from "./graph.js";
import { type Handle, TICKET_SPAN } from "./instance.js";
import { Names } from "./names.js";
import { abortSignal, callable, choice, integer, nameOf, object, reject } from "./options.js";
import { PluginRun } from "./plugin-run.js";
import type { Sink } from "./sink.js";
import { ask, detail, open, register, settle, unregister } from "./store.js";
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
  readonly #runs = new Set<PluginRun<A>>();
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
    this.#id = open("orchestrators", () => bindings.plugins_open());
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
    const run = new PluginRun(this.#name, this.#names, plugins, target, tell, sink, onProgress);
    this.#runs.add(run);
    try {
      return await run.go(() => this.#without(plugins), mode === "active" ? 1 : 0, maxWorkers, signal);
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

  /** The machine, told to leave out whoever was registered while the others were asked. */
  #without(plugins: ReadonlyMap<number, Plugin<A>>): number {
    for (const id of this.#plugins.keys()) if (!plugins.has(id)) bindings.push_id(id);
    return this.#id;
  }

  #enter({ name, mode, priority = 0, weight = 1, needs = [] }: Plugin<A>): number {
    for (const need of needs) bindings.push_id(this.#names.id(need));
    const active = mode === "active" ? 1 : 0;
    return bindings.plugins_register(this.#id, this.#names.id(name), active, priority, weight);
  }
}
