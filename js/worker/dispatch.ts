/** Tasks in: what a pool of workers is asked to do, until its end is told. */

import { platform } from "#worker-platform";
import { now } from "../clock.js";
import { duration } from "../duration.js";
import { QueueTimeoutError, type RuntimeTrapError, TimeoutError } from "../errors.js";
import type { Events } from "../events.js";
import { bindings } from "../generated/store_bg.js";
import { type Handle, LIST, LOOK, TICKET_SPAN } from "../instance.js";
import { hashOf, Names } from "../names.js";
import { reject as refuse } from "../options.js";
import { onAbort } from "../signals.js";
import { area, ask, detail, hold, open, register, settle, unregister } from "../store.js";
import { closedError, refusalError } from "./failures.js";
import { Here } from "./here.js";
import type { Link } from "./link.js";
import { type ParsedRun, parseRun, type WorkerPoolConfig, type WorkerRunOptions } from "./options.js";
import { Orders } from "./orders.js";
import { CANCEL, HOWS, MARK } from "./protocol.js";
import { Reports } from "./reports.js";
import { Staff } from "./staff.js";
import type { Inlet } from "./stream.js";
import { survive } from "./survive.js";
import { type Task, Tasks } from "./tasks.js";
import { Watchers } from "./watchers.js";
import type { WorkerEvents, WorkerMetrics } from "./worker-metrics.js";

const NEVER_MS = Number.POSITIVE_INFINITY;

/** The tasks and the workers of one pool. */
export class Dispatch {
  readonly config: WorkerPoolConfig;
  readonly #events: Events<WorkerEvents>;
  /** What the machine belongs to. */
  readonly #handle: Handle;
  readonly names = new Names();
  readonly staff: Staff;
  readonly here: Here;
  readonly tasks = new Tasks();
  /** Those who wait for the pool to be as they want it. */
  readonly watchers: Watchers;
  readonly orders: Orders;
  /** By which the machine is known. */
  id: number;
  #pending = 0;
  /** How many tasks have thrown. */
  failed = 0;
  /** How many messages have gone to workers. */
  messages = 0;
  closed = false;
  #flushes = false;
  /** Whether a worker has answered since it was started. */
  everReady = false;
  /** There are no workers to be had: the work is done here. */
  givenUp = false;
  /** What ended a worker last. */
  lastError: unknown;

  constructor(config: WorkerPoolConfig, events: Events<WorkerEvents>, handle: Handle) {
    this.config = config;
    this.#events = events;
    this.#handle = handle;
    this.staff = new Staff(config, events, new Reports(this));
    this.here = new Here(config);
    this.orders = new Orders(this);
    this.watchers = new Watchers(() => this.#keep());
    this.id = open("pools of workers", () => this.#make());
    register(handle, this.id, bindings.dispatch_drop);
  }

  /** Starts the workers that are wanted at once, or finds that there are none. */
  begin(): void {
    if (this.givenUp || !platform.has()) {
      if (this.config.worker === undefined || this.givenUp || !this.#hasOwnWorkers()) {
        this.giveUp(new Error("There are no workers here"));
        return;
      }
    }
    if (this.config.min > 0) this.call(() => bindings.dispatch_start(this.id, now()));
  }

  /** Where the platform has none, `worker` may know some; asking costs one start. */
  #hasOwnWorkers(): boolean {
    return this.config.worker !== undefined && typeof Worker === "function";
  }

  /** Resolves when the workers that are started at once have answered, or it is known that there are none. */
  started(): Promise<void> {
    return this.watchers.until(() => {
      return this.closed || this.givenUp || this.staff.ready >= this.config.min;
    });
  }

  /** Takes a task in, and tells its end. Whatever is wrong is told to `reject`. */
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
      const usual = options === undefined && this.config.waitTimeout === NEVER_MS;
      const more = usual ? undefined : parseRun(options ?? {}, this.config);
      more?.signal?.throwIfAborted();
      const what = this.names.id(name) * HOWS + how;
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

  /** Gives a task up in this tick. A worker that has it is told, and ended if it goes on for too long. */
  cancel(task: Task, reason: unknown, tells = true): void {
    survive(() => this.#cancel(task, reason, tells));
  }

  #cancel(task: Task, reason: unknown, tells: boolean): void {
    if (this.tasks.find(task.ticket) !== task) {
      if (this.here.cancel(task.ticket, reason)) this.call(() => {});
      return;
    }
    const worker = ask(() => bindings.dispatch_cancel(this.id, now(), task.ticket, this.config.grace));
    const link = this.staff.get(worker);
    if (link !== undefined) this.tell(link, [MARK, CANCEL, task.ticket]);
    this.leave(task);
    if (tells) task.reject(reason);
    this.orders.obey();
  }

  /** A task is nobody's any more. */
  leave(task: Task): void {
    this.tasks.remove(task);
    task.unwatch?.();
    if (task.timers !== undefined) for (const timer of task.timers) clearTimeout(timer);
    this.#pending -= 1;
    if (this.#pending > 0) return;
    this.#keep();
    this.watchers.look();
  }

  /** Tells a worker something, if it still listens. */
  tell(link: Link, message: unknown[]): void {
    try {
      link.post(message, []);
    } catch {
      // It is going, and what it has will be told of.
    }
  }

  /** How many items of so many a chunk takes, by what one has cost so far. */
  chunk(left: number, itemMs: number): number {
    // Here a chunk holds the thread, so it takes a slice of 8 ms and not 20.
    const cost = this.givenUp ? itemMs * 2.5 : itemMs;
    return ask(() => bindings.dispatch_chunk(left, this.config.max, cost));
  }

  /** Every number of this pool. */
  metrics(): WorkerMetrics {
    ask(() => bindings.dispatch_stats(this.id));
    const at = (index: number) => area()[LIST + index] as number;
    const here = this.here;
    return {
      name: this.config.name,
      mode: this.givenUp ? "cooperative" : "workers",
      configured: this.config.max,
      workers: at(0),
      busy: at(1),
      idle: at(2),
      queued: at(3) + here.queued,
      running: at(4) + here.running,
      submitted: at(6),
      completed: at(7) + here.ended - this.failed,
      failed: this.failed,
      cancelled: at(8) + here.cancelled,
      timeouts: at(9) + here.timeouts,
      crashed: at(10),
      retried: at(11),
      moved: at(12),
      messages: this.messages,
      spawned: at(14),
      deaths: at(15),
      recycled: at(16),
    };
  }

  /** Takes nothing more; gives up what is queued where it is to be rejected. */
  shut(rejects: boolean): void {
    this.closed = true;
    survive(() => this.call(() => bindings.dispatch_close(this.id, now(), rejects ? 1 : 0)));
    if (rejects) this.here.clear(() => closedError(this.config));
  }

  /** Resolves when no task and no worker is left; after `grace` milliseconds those that are left are ended. */
  async emptied(grace: number): Promise<void> {
    if (this.#pending > 0 || this.staff.size > 0) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        if (grace !== NEVER_MS) timer = setTimeout(resolve, grace);
      });
      await Promise.race([late, this.watchers.until(() => this.#pending === 0 && this.staff.size === 0)]);
      clearTimeout(timer);
      this.here.clear(() => closedError(this.config));
      survive(() => this.call(() => bindings.dispatch_kill(this.id)));
    }
    await this.staff.left();
    this.watchers.look();
  }

  /** The machine is needed no more. */
  drop(): void {
    unregister(this.#handle, this.id);
    ask(() => bindings.dispatch_drop(this.id));
    settle();
  }

  /** After a trap of the store nobody knows any more who has what: every task is rejected, and the workers are started anew. */
  rebuild(error: RuntimeTrapError): () => void {
    const tasks = this.tasks.clear();
    this.staff.clear();
    this.id = this.#make();
    register(this.#handle, this.id, bindings.dispatch_drop);
    return () => {
      for (const task of tasks) {
        this.leave(task);
        task.reject(error);
      }
      if (this.closed) bindings.dispatch_close(this.id, now(), 1);
      else if (this.givenUp) bindings.dispatch_give_up(this.id);
      else this.begin();
      this.#keep();
      this.watchers.look();
      // The trap may have come in the midst of other orders, which nobody goes on with.
      queueMicrotask(() => survive(() => this.orders.obey()));
    };
  }

  #make(): number {
    const of = this.config;
    const turn = of.roundRobin ? 1 : 0;
    const limits = [of.idle, of.taskTimeout, of.recycleTasks, of.recycleMemory, of.retries] as const;
    return bindings.dispatch_open(of.min, of.max, turn, ...limits, of.capacity, of.overflow);
  }

  #enter(task: Task, more: ParsedRun | undefined): void {
    const at = now();
    if (more !== undefined && more.deadline !== NEVER_MS && more.deadline <= Date.now())
      throw new TimeoutError(this.nameOf(task), 0);
    const answer =
      more === undefined
        ? bindings_submit(this.id, at, task.what, 0, -1, 0, NEVER_MS)
        : bindings_submit(
            this.id,
            at,
            task.what,
            more.priority,
            more.key === undefined ? -1 : hashOf(more.key),
            // What has gone along once cannot be sent again.
            more.idempotent && more.transfer === undefined ? 1 : 0,
            more.timeout,
          );
    if (answer >= TICKET_SPAN) throw refusalError(answer % TICKET_SPAN, detail(), this.config);
    task.ticket = answer;
    this.tasks.enter(task);
    this.#pending += 1;
    if (this.#pending === 1) this.#keep();
    if (more !== undefined) this.#bound(task, more);
    // An idle worker has it in this tick; a busy one gets what has gathered by the end of it.
    if (area()[LOOK] !== 0) this.orders.obey();
    if (task.link === undefined && !this.#flushes) {
      this.#flushes = true;
      queueMicrotask(this.#flush);
    }
  }

  readonly #flush = () => {
    this.#flushes = false;
    if (this.#pending > 0) survive(() => this.call(() => bindings.dispatch_flush(this.id, now())));
  };

  /** What bounds this one call: its signal, its wait, its deadline. */
  #bound(task: Task, { signal, waitTimeout, deadline }: ParsedRun): void {
    if (signal !== undefined) task.unwatch = onAbort(signal, () => this.cancel(task, signal.reason));
    const after = (ms: number, end: () => void) => {
      if (ms === NEVER_MS) return;
      task.timers ??= [];
      task.timers.push(setTimeout(end, Math.min(ms, 2 ** 31 - 1)));
    };
    after(waitTimeout, () => {
      if (task.link === undefined)
        this.cancel(
          task,
          new QueueTimeoutError(`No worker took "${this.nameOf(task)}" within ${duration(waitTimeout)}`, {
            limit: waitTimeout,
          }),
        );
    });
    const left = deadline - Date.now();
    after(left, () => this.cancel(task, new TimeoutError(this.nameOf(task), left)));
  }

  /** The pool lives, and keeps the process alive, while somebody waits. */
  #keep(): void {
    const awaited = this.#awaited;
    hold(this.id, awaited ? this.#handle : undefined);
    this.staff.keep(awaited);
  }

  get #awaited(): boolean {
    return this.#pending > 0 || this.watchers.some;
  }

  /** Asks the machine, and carries out what it then orders. */
  call(call: () => void): void {
    ask(call);
    this.orders.obey();
  }

  /** No worker can be had: from now on the work is done here. */
  giveUp(error: unknown): void {
    if (this.givenUp) return;
    this.givenUp = true;
    ask(() => bindings.dispatch_give_up(this.id));
    if (this.#events.heard("cooperative")) this.#events.emit("cooperative", { error });
    this.watchers.look();
    this.orders.obey();
  }

  /** A worker has died, or could not be started, and the machine knows. */
  crashed(worker: string, error: unknown): void {
    this.lastError = error;
    if (this.#events.heard("crash")) this.#events.emit("crash", { worker, error });
    this.orders.obey();
    if (!this.givenUp && !this.everReady && ask(() => bindings.dispatch_stats(this.id)) === 1)
      if (area()[LIST + 5] === 1) this.giveUp(error);
    this.watchers.look();
  }

  nameOf(task: Task): string {
    return this.names.name(Math.floor(task.what / HOWS)) as string;
  }
}

/** The hot call, without a closure. */
function bindings_submit(...args: Parameters<typeof bindings.dispatch_submit>): number {
  return ask(() => bindings.dispatch_submit(...args));
}
