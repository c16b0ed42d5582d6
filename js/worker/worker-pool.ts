import { platform } from "#worker-platform";
import { now } from "../clock.js";
import { asyncDispose, dispose } from "../dispose.js";
import { duration } from "../duration.js";
import { isRuntimeTrapError, QueueTimeoutError, type RuntimeTrapError, TimeoutError } from "../errors.js";
import { type Disposer, Events } from "../events.js";
import { bindings } from "../generated/store_bg.js";
import { type Handle, LIST, LOOK, TICKET_SPAN } from "../instance.js";
import { hashOf, Names } from "../names.js";
import { choice, milliseconds, object, reject as refuse } from "../options.js";
import { onAbort } from "../signals.js";
import { area, ask, detail, hold, open, register, settle, unregister } from "../store.js";
import type { Functions } from "./call.js";
import type { ArgumentsOf, ItemOf, NameOf, ResultOf } from "./exposed.js";
import { closedError, faultError, refusalError } from "./failures.js";
import { Here } from "./here.js";
import type { Link } from "./link.js";
import {
  type ParsedRun,
  parseRun,
  parseWorkerPool,
  type WorkerPoolConfig,
  type WorkerPoolOptions,
  type WorkerRunOptions,
} from "./options.js";
import { answerOutside } from "./outside-host.js";
import {
  ANSWER_SPAN,
  ANSWERS,
  BYE,
  CANCEL,
  CREDIT,
  DONE,
  HOWS,
  ITEMS,
  MARK,
  MEMORY,
  type Message,
  NEVER,
  OUTSIDE,
  READY,
  RUN,
  STREAM,
  THROWN,
  TRAPPED,
} from "./protocol.js";
import { sendTasks } from "./send-tasks.js";
import { Staff } from "./staff.js";
import { Inlet } from "./stream.js";
import { type Task, Tasks } from "./tasks.js";
import { Watchers } from "./watchers.js";
import { fromWire, type WireError } from "./wire-error.js";
import type { WorkerEvents, WorkerMetrics } from "./worker-metrics.js";

const NEVER_MS = Number.POSITIVE_INFINITY;
/**
 * CPU work on other threads: tasks for named functions that workers `expose`.
 *
 * An idle worker gets a task in the tick of the call; a busy one gets what has gathered meanwhile in one message, as much as
 * it does in some milliseconds. A worker that dies, traps or runs out of time is replaced, and takes nothing with it that
 * may be tried again. Where there are no workers the same calls run on this thread, in slices.
 *
 * @example
 * ```ts
 * import { expose, WorkerPool } from "tidegate/workers";
 *
 * // What `my-worker.js` does; here it stands in for workers that cannot be had.
 * expose({ square: (n: number) => n * n });
 * const pool = new WorkerPool<{ square: (n: number) => number }>({
 *   worker: () => { throw new Error("none here"); }, // () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" })
 * });
 * console.log(await pool.run("square", [7])); // → 49
 * console.log(pool.metrics().mode); // → cooperative
 * await pool.close();
 * ```
 */
export class WorkerPool<F extends { [K in keyof F]: (...args: never[]) => unknown } = Functions>
  implements Handle
{
  /** @internal */
  readonly kind = "workers";
  readonly #config: WorkerPoolConfig;
  readonly #events: Events<WorkerEvents>;
  readonly #names = new Names();
  readonly #staff: Staff;
  readonly #here: Here;
  readonly #tasks = new Tasks();
  #id: number;
  #pending = 0;
  #failed = 0;
  #messages = 0;
  #closed = false;
  #obeying = false;
  #flushes = false;
  #everReady = false;
  #givenUp = false;
  #lastError: unknown;
  // Once there is nothing left to ask.
  #last: WorkerMetrics | undefined;
  // Those who wait for the pool to be as they want it.
  readonly #watchers: Watchers;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: WorkerPoolOptions = {}) {
    this.#config = parseWorkerPool(options);
    this.#events = new Events("workers", this.#config.name);
    this.#staff = new Staff(this.#config, this.#events, this);
    this.#here = new Here(this.#config);
    this.#watchers = new Watchers(() => this.#keep());
    this.#id = open("pools of workers", () => this.#make());
    register(this, this.#id, bindings.dispatch_drop);
    this.#begin();
  }

  /** The name given at construction. */
  get name(): string {
    return this.#config.name;
  }

  /** How many workers there may be. */
  get size(): number {
    return this.#config.max;
  }

  /** Resolves when the workers that are started at once (`size.min`) have answered, or it is known that there are none. */
  get ready(): Promise<void> {
    return this.#watchers.until(() => {
      return this.#closed || this.#givenUp || this.#staff.ready >= this.#config.min;
    });
  }

  /**
   * Calls an exposed function with these arguments; of a generator function, with all that it yields in an array.
   *
   * @throws what the function throws, with its name, message, stack, code and cause; WorkerCrashedError; TimeoutError;
   * QueueFullError, DroppedError, QueueTimeoutError; ClosedError; TypeError that names what in the arguments cannot be sent;
   * after an abort `signal.reason`. All by rejection
   */
  run<K extends NameOf<F>, R = ResultOf<F, K>>(
    name: K,
    args?: ArgumentsOf<F, K>,
    options?: WorkerRunOptions,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      this.submit(
        name,
        RUN,
        args as readonly unknown[] | undefined,
        options,
        resolve as (value: unknown) => void,
        reject,
      );
    });
  }

  /**
   * Calls an exposed generator function and gives what it yields, as it yields it. At most 64 items lie unread, then the
   * generator waits; it holds its worker until it ends or the loop is left.
   *
   * @throws as `run`, from the loop
   */
  stream<K extends NameOf<F>, T = ItemOf<F, K>>(
    name: K,
    args?: ArgumentsOf<F, K>,
    options?: WorkerRunOptions,
  ): AsyncIterableIterator<T> {
    const inlet: Inlet<T> = new Inlet((tell) => {
      let stop = () => {};
      const task = this.submit(
        name,
        STREAM,
        args as readonly unknown[] | undefined,
        options,
        () => tell.end(),
        tell.fail,
        inlet as Inlet,
      );
      if (task !== undefined) stop = () => this.#cancel(task, undefined, false);
      const more = (items: number) => {
        const link = task?.link;
        if (task !== undefined && link !== undefined) this.#tell(link, [MARK, CREDIT, task.ticket, items]);
      };
      return { stop: () => stop(), more };
    });
    return inlet;
  }

  /** Every number of this pool. */
  metrics(): WorkerMetrics {
    if (this.#last !== undefined) return this.#last;
    ask(() => bindings.dispatch_stats(this.#id));
    const at = (index: number) => area()[LIST + index] as number;
    const here = this.#here;
    return {
      name: this.#config.name,
      mode: this.#givenUp ? "cooperative" : "workers",
      configured: this.#config.max,
      workers: at(0),
      busy: at(1),
      idle: at(2),
      queued: at(3) + here.queued,
      running: at(4) + here.running,
      submitted: at(6),
      completed: at(7) + here.ended - this.#failed,
      failed: this.#failed,
      cancelled: at(8) + here.cancelled,
      timeouts: at(9) + here.timeouts,
      crashed: at(10),
      retried: at(11),
      moved: at(12),
      messages: this.#messages,
      spawned: at(14),
      deaths: at(15),
      recycled: at(16),
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof WorkerEvents>(event: K, fn: (detail: WorkerEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /**
   * Takes nothing more. What runs ends, and what is queued too unless it is to be rejected; then each worker is asked to exit, and
   * this resolves when all have said that they do. After `grace` milliseconds what is left is rejected with `ClosedError` and
   * the workers are ended.
   *
   * @default grace 30,000, queued "finish"
   */
  async close(options: { grace?: number; queued?: "finish" | "reject" } = {}): Promise<void> {
    const { grace = 30_000, queued = "finish" } = object("options", options) ?? {};
    milliseconds("grace", grace);
    choice("queued", queued, ["finish", "reject"]);
    const before = this.#closed;
    this.#closed = true;
    const rejects = queued === "reject" ? 1 : 0;
    this.#call(() => bindings.dispatch_close(this.#id, now(), rejects));
    if (rejects === 1) this.#here.clear(() => closedError(this.#config));
    if (this.#pending > 0 || this.#staff.size > 0) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        if (grace !== NEVER_MS) timer = setTimeout(resolve, grace);
      });
      await Promise.race([late, this.#watchers.until(() => this.#pending === 0 && this.#staff.size === 0)]);
      clearTimeout(timer);
      this.#kill();
    }
    await this.#staff.left();
    this.#watchers.look();
    if (before) return;
    this.#last = this.metrics();
    unregister(this, this.#id);
    ask(() => bindings.dispatch_drop(this.#id));
    settle();
  }

  /** Ends the workers at once; what is left is rejected with `ClosedError`. */
  [dispose](): void {
    void this.close({ grace: 0, queued: "reject" });
  }

  /** The same as {@link close}. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal Nobody waits in the ring. */
  wake(): void {}

  /** @internal Time has brought orders. */
  errand(): void {
    this.#obey();
  }

  /** @internal After a trap of the store nobody knows any more who has what: every task is rejected, and the workers are started anew. */
  rebuild(error: RuntimeTrapError): () => void {
    const tasks = this.#tasks.clear();
    this.#staff.clear();
    this.#id = this.#make();
    register(this, this.#id, bindings.dispatch_drop);
    return () => {
      for (const task of tasks) {
        this.#leave(task);
        task.reject(error);
      }
      if (!this.#closed) this.#begin();
    };
  }

  /** @internal Takes a task in, and tells its end. Whatever is wrong is told to `reject`. */
  submit(
    name: string,
    how: number,
    args: readonly unknown[] | undefined,
    options: WorkerRunOptions | undefined,
    resolve: (value: unknown, ran: number) => void,
    reject: (error: unknown) => void,
    inlet?: Inlet,
  ): Task | undefined {
    try {
      if (typeof name !== "string") refuse("name", "a string", name);
      if (args !== undefined && !Array.isArray(args)) refuse("args", "an array", args);
      const usual = options === undefined && this.#config.waitTimeout === NEVER_MS;
      const more = usual ? undefined : parseRun(options ?? {}, this.#config);
      more?.signal?.throwIfAborted();
      const what = this.#names.id(name) * HOWS + how;
      const task: Task = {
        ticket: -1,
        what,
        args: args ?? [],
        resolve,
        reject,
        more,
        inlet,
        link: undefined,
        unwatch: undefined,
        timers: undefined,
      };
      this.#enter(task, more);
      return task;
    } catch (error) {
      reject(error);
      return undefined;
    }
  }

  /** @internal How many items of so many a chunk takes, by what one has cost so far. */
  chunk(left: number, itemMs: number): number {
    // Here a chunk holds the thread, so it takes a slice of 8 ms and not 20.
    const cost = this.#givenUp ? itemMs * 2.5 : itemMs;
    return ask(() => bindings.dispatch_chunk(left, this.#config.max, cost));
  }

  #make(): number {
    const {
      min,
      max,
      roundRobin,
      idle,
      taskTimeout,
      recycleTasks,
      recycleMemory,
      retries,
      capacity,
      overflow,
    } = this.#config;
    return bindings.dispatch_open(
      min,
      max,
      roundRobin ? 1 : 0,
      idle,
      taskTimeout,
      recycleTasks,
      recycleMemory,
      retries,
      capacity,
      overflow,
    );
  }

  #begin(): void {
    if (this.#givenUp || !platform.has()) {
      if (this.#config.worker === undefined || this.#givenUp || !this.#hasOwnWorkers()) {
        this.#giveUp(new Error("There are no workers here"));
        return;
      }
    }
    if (this.#config.min > 0) this.#call(() => bindings.dispatch_start(this.#id, now()));
  }

  /** Where the platform has none, `worker` may know some; asking costs one start. */
  #hasOwnWorkers(): boolean {
    return this.#config.worker !== undefined && typeof Worker === "function";
  }

  #enter(task: Task, more: ParsedRun | undefined): void {
    const at = now();
    if (more !== undefined && more.deadline !== NEVER_MS && more.deadline <= Date.now())
      throw new TimeoutError(this.#nameOf(task), 0);
    const answer =
      more === undefined
        ? bindings_submit(this.#id, at, task.what, 0, -1, 0, NEVER_MS)
        : bindings_submit(
            this.#id,
            at,
            task.what,
            more.priority,
            more.key === undefined ? -1 : hashOf(more.key),
            // What has gone along once cannot be sent again.
            more.idempotent && more.transfer === undefined ? 1 : 0,
            more.timeout,
          );
    if (answer >= TICKET_SPAN) throw refusalError(answer % TICKET_SPAN, detail(), this.#config);
    task.ticket = answer;
    this.#tasks.enter(task);
    this.#pending += 1;
    if (this.#pending === 1) this.#keep();
    if (more !== undefined) this.#bound(task, more);
    // An idle worker has it in this tick; a busy one gets what has gathered by the end of it.
    if (area()[LOOK] !== 0) this.#obey();
    if (!this.#flushes) {
      this.#flushes = true;
      queueMicrotask(this.#flush);
    }
  }

  readonly #flush = () => {
    this.#flushes = false;
    if (this.#pending === 0) return;
    this.#call(() => bindings.dispatch_flush(this.#id, now()));
  };

  /** What bounds this one call: its signal, its wait, its deadline. */
  #bound(task: Task, { signal, waitTimeout, deadline }: ParsedRun): void {
    if (signal !== undefined) task.unwatch = onAbort(signal, () => this.#cancel(task, signal.reason));
    const after = (ms: number, end: () => void) => {
      if (ms === NEVER_MS) return;
      task.timers ??= [];
      task.timers.push(setTimeout(end, Math.min(ms, 2 ** 31 - 1)));
    };
    after(waitTimeout, () => {
      if (task.link === undefined)
        this.#cancel(
          task,
          new QueueTimeoutError(`No worker took "${this.#nameOf(task)}" within ${duration(waitTimeout)}`, {
            limit: waitTimeout,
          }),
        );
    });
    const left = deadline - Date.now();
    after(left, () => this.#cancel(task, new TimeoutError(this.#nameOf(task), left)));
  }

  /** Gives a task up in this tick. A worker that has it is told, and ended if it goes on for too long. */
  #cancel(task: Task, reason: unknown, tells = true): void {
    if (this.#tasks.find(task.ticket) !== task) {
      if (this.#here.cancel(task.ticket, reason)) this.#call(() => {});
      return;
    }
    const worker = ask(() => bindings.dispatch_cancel(this.#id, now(), task.ticket, this.#config.grace));
    const link = this.#staff.get(worker);
    if (link !== undefined) this.#tell(link, [MARK, CANCEL, task.ticket]);
    this.#leave(task);
    if (tells) task.reject(reason);
    this.#obey();
  }

  /** A task is nobody's any more. */
  #leave(task: Task): void {
    this.#tasks.remove(task);
    task.unwatch?.();
    if (task.timers !== undefined) for (const timer of task.timers) clearTimeout(timer);
    this.#pending -= 1;
    if (this.#pending > 0) return;
    this.#keep();
    this.#watchers.look();
  }

  /** The pool lives, and keeps the process alive, while somebody waits. */
  #keep(): void {
    const awaited = this.#awaited;
    hold(this.#id, awaited ? this : undefined);
    this.#staff.keep(awaited);
  }

  get #awaited(): boolean {
    return this.#pending > 0 || this.#watchers.some;
  }

  #call(call: () => void): void {
    ask(call);
    this.#obey();
  }

  /** Carries out what the machine has ordered. */
  #obey(): void {
    if (this.#obeying) return;
    this.#obeying = true;
    try {
      do {
        while (this.#obeyOne()) {}
        for (const link of this.#staff.all()) if (link.outbox.length > 0) this.#send(link);
      } while (this.#obeyOne());
    } finally {
      this.#obeying = false;
    }
    settle();
  }

  #obeyOne(): boolean {
    const what = ask(() => bindings.dispatch_order(this.#id));
    if (what === 0) return false;
    const view = area();
    const who = view[LIST] as number;
    const more = view[LIST + 1] as number;
    if (what === 1) this.#spawn(who);
    else if (what === 2) {
      const link = this.#staff.get(who);
      for (let index = 0; index < more; index += 1) link?.outbox.push(bindings.told(index));
    } else if (what === 3 || what === 4) {
      if (what === 3) this.#staff.retire(who);
      else this.#staff.end(who);
      this.#watchers.look();
    } else if (what === 5) this.#fail(who, more);
    else if (what === 6) this.#runHere(who);
    return true;
  }

  #spawn(ticket: number): void {
    const name = this.#staff.nextName();
    try {
      this.#staff.start(ticket, name);
    } catch (error) {
      // What throws once throws every time: there is nothing to wait for.
      if (!this.#everReady) this.#giveUp(error);
      ask(() => bindings.dispatch_crashed(this.#id, now(), ticket));
      this.#crashed(name, error);
    }
  }

  #giveUp(error: unknown): void {
    if (this.#givenUp) return;
    this.#givenUp = true;
    ask(() => bindings.dispatch_give_up(this.#id));
    if (this.#events.heard("cooperative")) this.#events.emit("cooperative", { error });
    this.#watchers.look();
    this.#obey();
  }

  #fail(ticket: number, fault: number): void {
    const task = this.#tasks.find(ticket);
    if (task === undefined) return;
    this.#leave(task);
    const limit = Math.min(task.more?.timeout ?? NEVER_MS, this.#config.taskTimeout);
    task.reject(faultError(fault, this.#config, this.#nameOf(task), limit, this.#lastError));
  }

  #runHere(ticket: number): void {
    const task = this.#tasks.find(ticket);
    if (task === undefined) return;
    this.#givenUp = true;
    this.#tasks.remove(task);
    const { what, args, more, inlet } = task;
    const how = what % HOWS;
    const ended = (tell: () => void) => {
      this.#leave(task);
      tell();
    };
    this.#here.run({
      ticket,
      name: this.#names.name((what - how) / HOWS) as string,
      how,
      args,
      transfer: more?.transfer,
      timeout: Math.min(more?.timeout ?? NEVER_MS, this.#config.taskTimeout),
      inlet,
      resolve: (value, ran) => ended(() => task.resolve(value, ran)),
      reject: (error, failed) => {
        if (failed) this.#failed += 1;
        ended(() => task.reject(error));
      },
    });
  }

  #send(link: Link): void {
    const tasks: Task[] = [];
    for (const ticket of link.outbox) {
      const task = this.#tasks.find(ticket);
      if (task !== undefined) tasks.push(task);
    }
    link.outbox = [];
    if (tasks.length === 0) return;
    this.#messages += 1;
    for (const { task, error } of sendTasks(link, tasks, this.#names)) {
      ask(() => bindings.dispatch_answered(this.#id, now(), link.ticket, task.ticket, -1));
      ask(() => bindings.dispatch_flush(this.#id, now()));
      this.#failed += 1;
      this.#leave(task);
      task.reject(error);
    }
  }

  #tell(link: Link, message: unknown[]): void {
    try {
      link.post(message, []);
    } catch {
      // It is going, and what it has will be told of.
    }
  }

  /** @internal */
  said(link: Link, message: Message): void {
    const [, what, first, second] = message;
    try {
      if (what === ANSWERS) this.#answers(link, first as unknown[], second as number);
      else if (what === ITEMS) this.#tasks.find(first as number)?.inlet?.push(second as unknown[]);
      else if (what === READY) this.#ready(link);
      else if (what === TRAPPED) this.#trapped(link, first as number, fromWire(second as WireError));
      else if (what === OUTSIDE) answerOutside(this.#config.outside, first, second, message[4]);
      else if (what === BYE) this.gone(link, new Error("The worker has closed itself"));
    } catch (error) {
      // A trap of the store has been told to everybody.
      if (!isRuntimeTrapError(error)) throw error;
    }
  }

  #ready(link: Link): void {
    link.ready = true;
    clearTimeout(link.timer);
    this.#everReady = true;
    if (this.#config.recycleMemory !== NEVER_MS) this.#tell(link, [MARK, MEMORY]);
    this.#call(() => bindings.dispatch_ready(this.#id, now(), link.ticket));
    this.#watchers.look();
  }

  #answers(link: Link, answers: unknown[], memory: number): void {
    const at = now();
    const ended: (Task | undefined)[] = [];
    ask(() => {
      for (let index = 0; index < answers.length; index += ANSWER_SPAN) {
        const ticket = answers[index] as number;
        const ran = answers[index + 3] as number;
        // What a stream costs is its reader's doing.
        const task = this.#tasks.find(ticket);
        const learns = task?.inlet === undefined ? ran : -1;
        const verdict = bindings.dispatch_answered(this.#id, at, link.ticket, ticket, learns);
        ended.push(verdict === 1 ? task : undefined);
      }
      if (memory > 0) bindings.dispatch_memory(this.#id, at, link.ticket, memory);
      bindings.dispatch_flush(this.#id, at);
    });
    for (const task of ended) if (task !== undefined) this.#leave(task);
    // The workers first, then those who wait for the answers.
    this.#obey();
    for (let index = 0; index < ended.length; index += 1) {
      const task = ended[index];
      if (task === undefined) continue;
      const how = answers[index * ANSWER_SPAN + 1];
      const value = answers[index * ANSWER_SPAN + 2];
      if (how === DONE) task.resolve(value, answers[index * ANSWER_SPAN + 3] as number);
      else {
        this.#failed += 1;
        if (how === NEVER) task.reject(new DOMException("This operation was aborted", "AbortError"));
        else task.reject(how === THROWN ? fromWire(value as WireError) : value);
      }
    }
  }

  #trapped(link: Link, ticket: number, error: Error): void {
    this.#staff.forget(link.ticket);
    link.end();
    this.#lastError = error;
    ask(() => bindings.dispatch_trapped(this.#id, now(), link.ticket, ticket));
    this.#crashed(link.name, error);
  }

  /** @internal */
  gone(link: Link, error: unknown): void {
    if (this.#staff.forget(link.ticket) === undefined) return;
    link.end();
    this.#lastError = error;
    try {
      ask(() => bindings.dispatch_crashed(this.#id, now(), link.ticket));
      this.#crashed(link.name, error);
    } catch (trap) {
      if (!isRuntimeTrapError(trap)) throw trap;
    }
  }

  #crashed(worker: string, error: unknown): void {
    this.#lastError = error;
    if (this.#events.heard("crash")) this.#events.emit("crash", { worker, error });
    this.#obey();
    if (!this.#givenUp && !this.#everReady && ask(() => bindings.dispatch_stats(this.#id)) === 1)
      if (area()[LIST + 5] === 1) this.#giveUp(error);
    this.#watchers.look();
  }

  #kill(): void {
    this.#here.clear(() => closedError(this.#config));
    this.#call(() => bindings.dispatch_kill(this.#id));
  }

  #nameOf(task: Task): string {
    return this.#names.name(Math.floor(task.what / HOWS)) as string;
  }
}

/** The hot call, without a closure. */
function bindings_submit(...args: Parameters<typeof bindings.dispatch_submit>): number {
  return ask(() => bindings.dispatch_submit(...args));
}
