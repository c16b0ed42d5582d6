import { between, now, toEpoch } from "./clock.js";
import { dispose } from "./dispose.js";
import { ClosedError, DeadlockError, isRuntimeTrapError, type RuntimeTrapError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/store_bg.js";
import { parseExecution, parseTask } from "./graph-options.js";
import { type Execution, isOpen, type One, ownerOf } from "./graph-part.js";
import { notAdded } from "./graph-refusal.js";
import { criticalWay, reportOf, resultsOf } from "./graph-report.js";
import type {
  ExecuteOptions,
  GraphEvents,
  GraphMetrics,
  GraphReport,
  GraphTask,
  GraphTaskReport,
  GraphTaskState,
} from "./graph-terms.js";
import { FAILED, GRANTED, type Handle, READY, REVOKED, TICKET_SPAN } from "./instance.js";
import { runsBelow, waitsToStart } from "./kin.js";
import { attach } from "./kin-graph.js";
import { isTask, type LockOwner } from "./lock-owners.js";
import { reportError } from "./log.js";
import { Names } from "./names.js";
import { nameOf } from "./options.js";
import { Pool, type Submission } from "./pool.js";
import { attendant, inRequestOf } from "./presence.js";
import { onAbort } from "./signals.js";
import { ask, detail, hold, open, register, settle, unregister } from "./store.js";
import type { TaskContext } from "./work.js";

export type {
  ExecuteOptions,
  GraphEvents,
  GraphMetrics,
  GraphReport,
  GraphTask,
  GraphTaskReport,
  GraphTaskState,
  Results,
} from "./graph-terms.js";

/** How tasks end, as the machine numbers it. */
const ENDS = ["succeeded", "failed", "cancelled", "skipped"] as const;

/**
 * Tasks with dependencies, run as soon as they may and no more at once than allowed.
 *
 * Nothing is polled for: a task starts in the turn in which the last one it depends on ends, and is handed its result. One that waits
 * holds no slot. Among those that are ready the higher priority starts first, then the one that was ready first. When a
 * task does not succeed, what depends on it is skipped with the reason, or runs all the same where it says so.
 *
 * @example
 * ```ts
 * import { TaskGraph } from "tidegate";
 *
 * const graph = new TaskGraph();
 * graph.add("price", { run: async () => 6 });
 * graph.add("amount", { run: async () => 7 });
 * graph.add("total", {
 *   dependsOn: ["price", "amount"],
 *   run: (_, of) => (of.price as number) * (of.amount as number),
 * });
 * const { results } = await graph.execute({ concurrency: 2 });
 * console.log(results.total); // → 42
 * ```
 */
export class TaskGraph implements Handle {
  /** @internal */
  readonly kind = "graph";
  readonly #name: string;
  readonly #events: Events<GraphEvents>;
  readonly #names = new Names();
  readonly #tasks = new Map<string, One>();
  readonly #byTicket = new Map<number, One>();
  #execution: Execution | undefined;
  #over = 0;
  // Whether somebody may wait for its tasks, or they for somebody: only then the wait-for graph is told of their dependencies.
  #isTold = false;
  // Why tasks are being cancelled, while they are.
  #reason: unknown;
  /** Everything is being given up: nobody asks for a report. */
  #gives = false;
  #closed = false;
  #id: number;

  /**
   * @default name "graph"
   * @throws TypeError where an option is not what it should be; the message names it.
   */
  constructor(options: { name?: string } = {}) {
    this.#name = nameOf(options, "graph");
    this.#events = new Events("graph", this.#name);
    this.#id = open("task graphs", () => bindings.graph_open());
    register(this, this.#id, bindings.graph_drop);
  }

  /** The name given at construction. */
  get name(): string {
    return this.#name;
  }

  /**
   * Adds a task, also while others run: then what it depends on must be there, and it may start in this very call.
   *
   * @throws CycleError, naming the way round; TypeError where the name is taken, a dependency is missing or an option is not what
   *   it should be; ClosedError. Nothing has changed then.
   */
  add<T>(id: string, task: GraphTask<T>): this {
    if (this.#closed) throw new ClosedError(`The graph \`${this.#name}\` is closed`);
    const { needs, priority, weight, policy, run } = parseTask(id, task);
    const at = now();
    const one: One = {
      id,
      dependsOn: needs,
      weight,
      run,
      addedAt: toEpoch(at),
      ticket: -1,
      state: "waiting",
      work: undefined,
      owner: undefined,
      starts: undefined,
      report: undefined,
    };
    const number = this.#names.id(id);
    one.ticket = this.#entered(id, () => {
      for (const name of needs) bindings.push_id(this.#names.id(name));
      return bindings.graph_add(this.#id, at, number, priority, weight, policy);
    });
    this.#enter(one);
    if (this.#isTold) this.#tell(one);
    settle();
    return this;
  }

  /**
   * The task as an owner of locks or as a writer of states, also before it runs: the wait-for graph then knows what waits for its end. Once it
   * runs, that and its context are one.
   *
   * @throws TypeError where there is no such task
   */
  owner(id: string): LockOwner {
    const one = this.#tasks.get(id);
    if (one === undefined) throw new TypeError(`There is no task \`${id}\``);
    if (one.report === undefined) this.#tellAll();
    return ownerOf(one);
  }

  /**
   * Runs all tasks, also those that are added meanwhile, until each has ended, and reports. Later it can be executed again, for what
   * was added since.
   *
   * @throws after an abort `signal.reason`; TypeError where a dependency was never added; Error where it is being executed already.
   *   What tasks throw is in the report.
   */
  async execute(options: ExecuteOptions = {}): Promise<GraphReport> {
    const { concurrency, skips, parent, signal, onProgress } = parseExecution(options);
    if (this.#closed) throw new ClosedError(`The graph \`${this.#name}\` is closed`);
    if (this.#execution !== undefined)
      throw new Error(`The graph \`${this.#name}\` is being executed already`);
    signal?.throwIfAborted();
    const began = now();
    return new Promise<GraphReport>((resolve, reject) => {
      this.#execution = {
        // The machine says which tasks run; the pool gives them their context.
        pool: new Pool({ name: this.#name, concurrency: 65_535 }),
        concurrency,
        parent,
        began,
        unwatch: onAbort(signal, () => this.#give(signal?.reason)),
        onProgress,
        resolve,
        reject,
      };
      hold(this.#id, this);
      attendant?.dwell(this);
      const missing = ask(() => bindings.graph_begin(this.#id, began, concurrency, Number(skips)));
      if (missing >= 0) {
        const [id, dependency] = [this.#names.name(missing), this.#names.name(detail())];
        this.#finish()?.reject(
          new TypeError(`\`${id}\` depends on \`${dependency}\`, which was never added`),
        );
        return;
      }
      // Before anything starts, so that whoever closes a circle then has the youngest wait.
      if (this.#isTold || parent !== undefined) this.#tellAll();
      settle();
      this.#look();
    });
  }

  /**
   * Cancels a task that is not over: its slot is free and its signal aborted in the same tick, and what depends on it is treated as after
   * a failure. False where there is no such task.
   */
  cancel(id: string, reason?: unknown): boolean {
    const one = this.#tasks.get(id);
    if (one === undefined || one.report !== undefined || this.#closed) return false;
    this.#reason = reason ?? new DOMException(`The task \`${id}\` was cancelled`, "AbortError");
    const cancelled = ask(() => bindings.graph_cancel(this.#id, now(), one.ticket)) === 1;
    settle();
    this.#look();
    return cancelled;
  }

  /** Cancels what is not over and takes no more tasks; an execution under way rejects with `ClosedError`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#give(new ClosedError(`The graph \`${this.#name}\` was closed`));
    unregister(this, this.#id);
    ask(() => bindings.graph_drop(this.#id));
    settle();
  }

  /** How many tasks are where. */
  metrics(): GraphMetrics {
    const counts = { waiting: 0, ready: 0, running: 0, succeeded: 0, failed: 0, skipped: 0, cancelled: 0 };
    for (const { state } of this.#tasks.values()) counts[state] += 1;
    return { name: this.#name, ...counts };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof GraphEvents>(event: K, fn: (detail: GraphEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  [dispose](): void {
    this.close();
  }

  /** @internal Carries out a decision about a task. */
  wake(ticket: number, why: number): void {
    const one = this.#byTicket.get(ticket);
    if (one === undefined || one.report !== undefined) return;
    if (why === READY) this.#move(one, "ready");
    else if (why === GRANTED) this.#start(one);
    else if (why === REVOKED) this.#end(one, "cancelled");
    else if (why === FAILED) this.#end(one, "skipped");
    // Where it was decided in another request, nobody has looked since.
    if (attendant !== undefined && !this.#gives) this.#look();
  }

  /** @internal What was under way is cancelled: no new instance knows of it. What is over stays so. */
  rebuild(error: RuntimeTrapError): () => void {
    const open = [...this.#tasks.values()].filter(({ report }) => report === undefined);
    this.#byTicket.clear();
    this.#id = bindings.graph_open();
    register(this, this.#id, bindings.graph_drop);
    const at = now();
    for (const one of this.#tasks.values()) {
      const end = one.report === undefined ? 2 : ENDS.indexOf(one.state as (typeof ENDS)[number]);
      const blame = one.report?.because === undefined ? 0 : this.#names.id(one.report.because);
      one.ticket = bindings.graph_adopt(this.#id, at, this.#names.id(one.id), end, blame) % TICKET_SPAN;
      this.#byTicket.set(one.ticket, one);
    }
    return () => {
      this.#reason = error;
      for (const one of open) this.#end(one, "cancelled");
      this.#finish()?.reject(error);
    };
  }

  #enter(one: One): void {
    this.#tasks.set(one.id, one);
    this.#byTicket.set(one.ticket, one);
  }

  /** The ticket of a task that was added. */
  #entered(id: string, add: () => number): number {
    const answer = ask(add);
    if (answer < TICKET_SPAN) return answer;
    throw notAdded(id, answer % TICKET_SPAN, this.#names);
  }

  #start(one: One): void {
    const execution = this.#execution;
    if (execution === undefined) return;
    this.#waitsNoMore(one);
    this.#move(one, "running");
    // A listener may have cancelled it.
    if (one.report !== undefined) return;
    const results = resultsOf(this.#tasks, one.dependsOn);
    const { pool, concurrency, parent } = execution;
    const task = (ctx: TaskContext) => {
      if (typeof one.owner === "object") isTask(one.owner, ctx);
      one.owner = ctx;
      if (parent !== undefined) runsBelow(ctx, parent);
      return one.run(ctx, results);
    };
    const work = pool.submit(task, {
      name: one.id,
      weight: Math.min(one.weight, concurrency),
      ...(parent?.deadline === undefined ? {} : { deadline: parent.deadline }),
    });
    one.work = work;
    work.done.then(
      (value) => this.#ended(one, work, false, value),
      (error: unknown) => this.#ended(one, work, true, error),
    );
  }

  #ended(one: One, work: Submission<unknown>, failed: boolean, outcome: unknown): void {
    if (one.report !== undefined || one.work !== work) return;
    // What it gave is there before its dependents ask for it; what reads it first is this very call.
    if (failed) one.error = outcome;
    else one.value = outcome;
    try {
      const known = ask(() => bindings.graph_end(this.#id, now(), one.ticket, failed ? 1 : 0));
      if (known === 1) this.#end(one, failed ? "failed" : "succeeded");
      settle();
      this.#look();
    } catch (error) {
      // After a trap the execution has been rejected with it.
      if (!isRuntimeTrapError(error)) throw error;
    }
  }

  /** Tells the wait-for graph of everybody who waits to be started, from here on of those who are added too. */
  #tellAll(): void {
    this.#isTold = true;
    for (const one of this.#tasks.values()) this.#tell(one);
  }

  #tell(one: One): void {
    const execution = this.#execution;
    if (execution === undefined || one.starts !== undefined) return;
    if (one.state !== "waiting" && one.state !== "ready") return;
    attach();
    const open = one.dependsOn.flatMap((id) => this.#tasks.get(id) ?? []).filter(isOpen);
    one.starts = waitsToStart(
      ownerOf(one),
      open.map(ownerOf),
      Math.min(one.weight, execution.concurrency),
      execution,
      () => `a slot of graph "${this.#name}"`,
      (chain) => this.#giveWay(one, chain),
    );
  }

  #giveWay(one: One, chain: readonly string[]): void {
    this.#events.emit("deadlock", { id: one.id, chain });
    const what = `Graph "${this.#name}" gave up "${one.id}": it would never start`;
    this.cancel(one.id, new DeadlockError(`${what}: ${chain.join(", ")}`, chain));
  }

  #waitsNoMore(one: One): void {
    one.starts?.();
    one.starts = undefined;
  }

  /** Notes that a task is over. */
  #end(one: One, state: "succeeded" | "failed" | "cancelled" | "skipped"): void {
    this.#waitsNoMore(one);
    one.owner = undefined;
    if (state === "cancelled") one.error = this.#reason;
    one.report = reportOf(this.#id, one, state, this.#names);
    this.#over += 1;
    this.#move(one, state);
    if (state === "cancelled") one.work?.cancel(this.#reason);
    one.work = undefined;
    try {
      this.#execution?.onProgress?.(this.#over, this.#tasks.size);
    } catch (error) {
      // What a listener throws is its own failure, not the task's.
      reportError(error);
    }
  }

  #move(one: One, to: GraphTaskState): void {
    const from = one.state;
    one.state = to;
    if (this.#events.heard("state")) this.#events.emit("state", { id: one.id, from, to });
  }

  /** Ends the execution when every task is over. */
  #look(): void {
    if (this.#execution === undefined || this.#over < this.#tasks.size) return;
    if (attendant === undefined) this.#report();
    else attendant.post(this, -1, () => this.#report());
  }

  #report(): void {
    // Somebody may have added a task meanwhile.
    if (this.#execution === undefined || this.#over < this.#tasks.size) return;
    const began = this.#execution.began;
    const critical = criticalWay(this.#id, this.#names);
    this.#finish()?.resolve({
      results: resultsOf(this.#tasks, this.#tasks.keys()),
      tasks: [...this.#tasks.values()].map(({ report }) => report as GraphTaskReport),
      ...critical,
      duration: between(began, now()),
      total: this.#tasks.size,
    });
  }

  /** Gives everything up, in this tick. */
  #give(reason: unknown): void {
    this.#reason = reason;
    this.#gives = true;
    ask(() => bindings.graph_cancel_all(this.#id, now()));
    settle();
    this.#gives = false;
    inRequestOf(this, -1, () => this.#finish()?.reject(reason));
  }

  #finish(): Execution | undefined {
    const execution = this.#execution;
    this.#execution = undefined;
    if (execution === undefined) return undefined;
    attendant?.rise(this, -1);
    execution.unwatch();
    for (const one of this.#tasks.values()) this.#waitsNoMore(one);
    hold(this.#id, undefined);
    ask(() => bindings.graph_rest(this.#id));
    void execution.pool.close({ grace: 0, queued: "reject" });
    return execution;
  }
}
