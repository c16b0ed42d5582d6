import type { CircuitBreaker } from "./breaker.js";
import { fromEpoch, now, readAt, toEpoch } from "./clock.js";
import { area, detail, guarded, hold, ready, register, seed, settle, survived, trapped } from "./core.js";
import { asyncDispose, dispose } from "./dispose.js";
import { ClosedError, DeadlockError, type RuntimeTrapError, TidegateError, TimeoutError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { Followers } from "./followers.js";
import { bindings } from "./generated/core_bg.js";
import { type Health, HealthCheck } from "./health.js";
import { ACCEPTED, EXPIRED, GRANTED, INDEX_MASK, LIST, REFUSED, REVOKED, TICKET_SPAN } from "./instance.js";
import { Keys } from "./keys.js";
import { began, entered, left, over, resized, told } from "./kin.js";
import { reportError } from "./log.js";
import { type Frame, frameOf, outerOf, runIn } from "./nesting.js";
import { callable, integer, milliseconds, reject } from "./options.js";
import type { Passing } from "./passing.js";
import { mapThrough } from "./pool-map.js";
import { type PoolMetrics, readPoolMetrics } from "./pool-metrics.js";
import {
  type PoolConfig,
  type PoolOptions,
  parsePoolOptions,
  parseRunOptions,
  type RunOptions,
} from "./pool-options.js";
import { attendant, inRequestOf, own } from "./presence.js";
import { layRules } from "./rate-options.js";
import { CLOSED, NEVER_POSSIBLE, refusalError } from "./refusal.js";
import type { RetryPolicy } from "./retry.js";
import { type Seek, seeking } from "./seeking.js";
import { onAbort, type Signals, watch } from "./signals.js";
import { isThenable } from "./thenable.js";
import {
  ABANDONED,
  Context,
  type Extra,
  HeldLease,
  LAPSED,
  type Lease,
  OVER,
  RUNNING,
  type Task,
  type TaskInfo,
  WAITING,
  Work,
} from "./work.js";

/** What a pool tells those who listen through `on`, and the logger. Each is told after the fact, outside any decision. */
export interface PoolEvents {
  /** The overflow rule refused or sacrificed a task. */
  overflow: { rule: string; queued: number };
  /** A task ran out of time; `abandoned` says whether its function goes on without a slot. */
  timeout: { id: number; name?: string; limit: number; abandoned: boolean };
  /** The number of slots changed. */
  scale: { from: number; to: number };
  /** The gate holds everything back for so long. */
  throttle: { ms: number };
  /** With `detectNesting`: the task `outer` asked its own pool for another, which has to wait. */
  nesting: { id: number; name?: string; outer: number };
  /** A task was turned away, because it and those it waits for would have waited for each other for ever. */
  deadlock: { id: number; name?: string; chain: readonly string[] };
  /** Nothing runs and nobody waits. */
  idle: Record<string, never>;
  /** The intake is closed. */
  close: Record<string, never>;
}

/** What `submit` gives back. */
export interface Submission<T> {
  /** Resolves when the task is in the queue or has started: the producer may go on. */
  readonly accepted: Promise<void>;
  /** Resolves with the result. Rejections of it are handled already, so that nobody gets an unhandled one. */
  readonly done: Promise<T>;
  /** Cancels the task; false when it is over already. */
  cancel(reason?: unknown): boolean;
}

/** Milliseconds without a start after which a pool that somebody waits for counts as stalled. */
const STALLED_AFTER = 30_000;
const SUCCESS = 0;
const FAILURE = 1;
const IGNORED = 2;
const NEVER_STARTED = 3;
/** What a machine answers with when the next plain task need not ask it. */
const MAY_PASS = 2;
/** A ticket that is always out of date: late releases are counted, and never another's. */
const NOBODY = TICKET_SPAN - 1;

/**
 * A bulkhead with a queue before it: at most `concurrency` slots are taken at once, and who waits, who is refused and
 * when is decided in one admission.
 *
 * Fair: a free slot goes to the next waiter in the step that frees it, in the order priority and arrival gave it, and
 * nobody barges. A cancelled task gives its slot or its place back in the same tick.
 *
 * @example
 * ```ts
 * import { Pool } from "tidegate";
 *
 * const pool = new Pool({ name: "letters", concurrency: 2 });
 * const urls = ["data:,a", "data:,b", "data:,c"];
 * const letters = await Promise.all(
 *   urls.map((url) => pool.run(async ({ signal }) => (await fetch(url, { signal })).text())),
 * );
 * console.log(letters.join("")); // → abc
 * ```
 */
export class Pool {
  #machine: number;
  readonly #config: PoolConfig;
  readonly #events: Events<PoolEvents>;
  readonly #keys = new Keys();
  readonly #signals: Signals = new Map();
  readonly #followers = new Followers(
    (work, value) => this.#succeed(work, value),
    (work, error) => this.#fail(work, error),
  );
  // By the index of their ticket.
  readonly #works: (Work | undefined)[] = [];
  // By their ticket: those whose index has a new owner while the news of their end still lies in the ring.
  readonly #displaced = new Map<number, Work>();
  #concurrency: number;
  // Those who wait or run; the abandoned are not among them.
  #pending = 0;
  #paused = false;
  #coolUntil = 0;
  // When what still runs is aborted, once the intake is closed.
  #graceUntil: number | undefined;
  readonly #check: HealthCheck | undefined;
  readonly #seek: Seek | undefined;
  // Only where it is worth it, and where nothing but the machine has a say in a start.
  readonly #passing: Passing | undefined;
  #whenIdle: (() => void)[] = [];
  // What the last request that trapped was answered with.
  #trap: unknown;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: PoolOptions) {
    ready();
    this.#config = parsePoolOptions(options);
    this.#concurrency = this.#config.concurrency;
    this.#events = new Events("pool", this.#config.name);
    const { healthCheck, adaptive } = this.#config;
    this.#seek = adaptive && seeking(this, adaptive);
    this.#check = healthCheck === undefined ? undefined : new HealthCheck(healthCheck);
    this.#passing = mayPass(this.#config) ? attendant?.passing(this) : undefined;
    this.#machine = guarded(() => this.#open());
    register(this, this.#machine, bindings.pool_drop);
  }

  /** The name given with the options. */
  get name(): string {
    return this.#config.name;
  }

  /** Tasks that hold slots. */
  get active(): number {
    return this.#count(0);
  }

  /** Tasks in the queue. */
  get queued(): number {
    return this.#count(1);
  }

  /** Tasks that wait outside the queue for room. */
  get waitingForRoom(): number {
    return this.#count(2);
  }

  /** Tasks whose slot is free and whose promise is settled, and whose function goes on. */
  get abandoned(): number {
    return this.#count(3);
  }

  /** Slots. */
  get concurrency(): number {
    return this.#concurrency;
  }

  /** Milliseconds that a call waits for its start unless it says otherwise. */
  get waitTimeout(): number {
    return this.#config.waitTimeout;
  }

  /** Whether grants are held back by `pause`. */
  get isPaused(): boolean {
    return this.#paused;
  }

  /** @internal Whether nothing runs, waits or is abandoned. */
  get isIdle(): boolean {
    return this.#pending === 0 && this.abandoned === 0;
  }

  /**
   * Runs a task as soon as it may, and settles with what it settles with.
   *
   * Its slot is free, and the next waiter granted, in the step in which it settles, times out or is aborted. After a
   * timeout or an abort its function may go on: it counts as {@link abandoned} until it settles.
   *
   * @param task a function: a promise would be work that has already started
   * @throws QueueFullError, DroppedError, QueueTimeoutError, TimeoutError, RateLimitedError, BrokenCircuitError,
   * ClosedError, NeverPossibleError; after an abort `signal.reason`; whatever the task throws. All by rejection
   * @example
   * ```ts
   * import { isTimeoutError, Pool } from "tidegate";
   *
   * const pool = new Pool({ concurrency: 1, timeout: 20 });
   * const never = () => new Promise<void>(() => {});
   * await pool.run(never, { name: "probe" }).catch((error: unknown) => {
   *   if (isTimeoutError(error)) console.log(error.message); // → Operation "probe" timed out after 20 ms
   * });
   * ```
   */
  run<T>(task: Task<T>, options?: RunOptions): Promise<Awaited<T>> {
    let work: Work;
    try {
      callable("task", task);
      const extra = this.#read(options);
      if (this.#config.retry !== undefined) return this.#retrying(this.#config.retry, task, extra);
      work = new Work(this, task, extra);
    } catch (error) {
      return Promise.reject(error);
    }
    const passes = work.extra === undefined && this.#passing?.enter(work);
    return (passes ? this.#pass(work) : this.#admit(work)) as Promise<Awaited<T>>;
  }

  /**
   * Runs a task, with acceptance and result as two promises, so that a producer can wait for room without waiting for
   * the result. Both reject with the same error when the task is refused; neither ever makes an unhandled rejection.
   *
   * @throws TypeError where an argument is wrong
   * @example
   * ```ts
   * import { Pool } from "tidegate";
   *
   * const pool = new Pool({ concurrency: 1, queue: { capacity: 1 } });
   * const done: Promise<number>[] = [];
   * for (let n = 1; n <= 5; n += 1) {
   *   const submission = pool.submit(() => new Promise<number>((resolve) => setTimeout(resolve, 1, n)));
   *   await submission.accepted; // never more than one runs and one is queued
   *   done.push(submission.done);
   * }
   * console.log(await Promise.all(done)); // → [ 1, 2, 3, 4, 5 ]
   * ```
   */
  submit<T>(task: Task<T>, options?: RunOptions): Submission<Awaited<T>> {
    callable("task", task);
    const extra = this.#readAll(options);
    if (this.#config.retry !== undefined) return this.#submitRetrying(this.#config.retry, task, extra);
    const work = new Work(this, task, extra);
    let done!: Promise<Awaited<T>>;
    const accepted = new Promise<void>((resolve, reject) => {
      extra.accepted = resolve;
      done = this.#admit(work) as Promise<Awaited<T>>;
      done.then(() => resolve(), reject);
    });
    done.catch(() => {});
    accepted.catch(() => {});
    return {
      accepted,
      done,
      cancel: (reason) =>
        this.#cancel(work, reason ?? new DOMException("The task was cancelled", "AbortError")),
    };
  }

  /**
   * Runs a task if it may start now; `undefined` where waiting would be needed, since that is what time heals.
   *
   * @throws ClosedError, NeverPossibleError at once, since time heals neither; after an abort `signal.reason`
   * @example
   * ```ts
   * import { Pool } from "tidegate";
   *
   * const pool = new Pool({ concurrency: 1 });
   * const first = pool.tryRun(() => new Promise((resolve) => setTimeout(resolve, 1, "ran")));
   * console.log(pool.tryRun(() => "too"), await first); // → undefined ran
   * ```
   */
  tryRun<T>(task: Task<T>, options?: RunOptions): Promise<Awaited<T>> | undefined {
    callable("task", task);
    const work = this.#impatient(task, options);
    return this.#try(work) ? (work.promise() as Promise<Awaited<T>>) : undefined;
  }

  /**
   * Takes slots for as long as the caller wants; fair like {@link run}. The signal ends the waiting, not the lease. A
   * lease that is never released holds its slots until the pool's `leaseTimeout`, so give it back in a `finally` or
   * with `using`.
   *
   * @throws what {@link run} throws before a start
   * @example
   * ```ts
   * import { Pool } from "tidegate";
   *
   * const pool = new Pool({ concurrency: 3 });
   * {
   *   using lease = await pool.acquire({ weight: 2 });
   *   console.log(pool.metrics().slotsInUse, lease.id > 0); // → 2 true
   * }
   * console.log(pool.metrics().slotsInUse); // → 0
   * ```
   */
  acquire(options?: RunOptions): Promise<Lease> {
    let work: Work;
    try {
      work = new Work(this, undefined, this.#read(options));
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#admit(work) as Promise<Lease>;
  }

  /** Takes slots if they are free now; `undefined` where waiting would be needed. @throws ClosedError, NeverPossibleError, for time heals neither */
  tryAcquire(options?: RunOptions): Lease | undefined {
    const work = this.#impatient(undefined, options);
    work.answer = () => {};
    return this.#try(work) ? new HeldLease(work) : undefined;
  }

  /**
   * Runs `fn` for each item of a source, which may be endless: an item is pulled when there is room to run it, and at
   * most `resultBuffer` results wait to be read. The first error ends the iteration; when the reader leaves, what runs is
   * aborted and the source is closed.
   *
   * @default ordered true, because results that change places surprise; resultBuffer 50, so that a slow reader holds the
   * work back before it holds memory
   * @throws the first error of `fn` or of the source; after an abort `signal.reason`
   * @example
   * ```ts
   * import { Pool } from "tidegate";
   *
   * function* naturals() {
   *   for (let n = 1; ; n += 1) yield n;
   * }
   * const pool = new Pool({ concurrency: 4 });
   * for await (const square of pool.map(naturals(), (n) => n * n)) {
   *   console.log(square); // → 1
   *   if (square > 50) break;
   * }
   * ```
   */
  map<T, R>(
    source: Iterable<T> | AsyncIterable<T>,
    fn: (item: T, ctx: import("./work.js").TaskContext) => R | PromiseLike<R>,
    options?: { ordered?: boolean; resultBuffer?: number; signal?: AbortSignal },
  ): AsyncIterable<Awaited<R>> {
    return mapThrough(this, source, fn, options);
  }

  /**
   * Changes the number of slots at once. What runs above a smaller bound finishes; a queued task that would no longer fit
   * even an idle pool is rejected. An adaptive pool goes on from the limit that it has found.
   */
  resize(concurrency: number): void {
    integer("concurrency", concurrency, 1, 4_294_967_294);
    const from = this.#concurrency;
    this.#concurrency = concurrency;
    survived(() => bindings.pool_resize(this.#id, now(), concurrency));
    if (told !== 0) resized(this);
    if (from !== concurrency) this.#events.emit("scale", { from, to: concurrency });
  }

  /**
   * Grants nothing until {@link resume}; what runs goes on, and the intake stays open. A pool that closes is not paused:
   * its queue could not finish.
   */
  pause(): void {
    if (this.#graceUntil !== undefined) return;
    this.#paused = true;
    survived(() => bindings.pool_pause(this.#id));
  }

  /** Grants again. */
  resume(): void {
    this.#paused = false;
    survived(() => bindings.pool_resume(this.#id, now()));
  }

  /** Grants nothing for so many milliseconds: the answer to a `Retry-After` that speaks for the whole target. */
  coolDown(ms: number): void {
    milliseconds("ms", ms);
    const until = now() + ms;
    this.#coolUntil = Math.max(this.#coolUntil, until);
    survived(() => bindings.pool_cool_down(this.#id, until));
    this.#events.emit("throttle", { ms });
  }

  /** Resolves when nothing runs and nobody waits. */
  onIdle(): Promise<void> {
    if (this.#pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(own(resolve)));
  }

  /**
   * Stops the intake. What is queued and running finishes (`queued: "reject"` refuses the queue at once); after `grace`
   * the queue is rejected and running work aborted. Resolves with what was abandoned. A second call shortens the grace.
   *
   * @throws TypeError where an option is wrong
   * @default grace 30 s, because a shutdown that waits for ever is a shutdown that gets killed; queued "finish"
   */
  close(options?: { grace?: number; queued?: "finish" | "reject" }): Promise<{ abandoned: TaskInfo[] }> {
    const grace = options?.grace === undefined ? 30_000 : milliseconds("grace", options.grace);
    const queued = options?.queued ?? "finish";
    if (queued !== "finish" && queued !== "reject") reject("queued", "`finish` or `reject`", queued);
    const first = this.#graceUntil === undefined;
    this.#paused = false;
    this.#graceUntil = Math.min(this.#graceUntil ?? Number.POSITIVE_INFINITY, now() + grace);
    survived(() => bindings.pool_close(this.#id, now(), Number(queued === "reject"), grace));
    if (first) {
      this.#check?.close(new ClosedError(`Pool "${this.name}" is closed`));
      this.#events.emit("close", {});
    }
    // Each call has a promise of its own: the next may come from another request.
    return this.onIdle().then(() => ({
      abandoned: this.tasks().filter(({ state }) => state === "abandoned"),
    }));
  }

  /**
   * Resolves when the target is there: once a `healthCheck` has passed and none has failed since. Without one, at once.
   *
   * @throws ClosedError when the pool is closed, before or while it waits
   * @example
   * ```ts
   * import { Pool } from "tidegate";
   *
   * let looks = 0;
   * const run = async () => {
   *   looks += 1;
   *   if (looks < 3) throw new Error("not yet");
   * };
   * const pool = new Pool({ concurrency: 4, healthCheck: { run, every: 5 } });
   * await pool.ready();
   * console.log(looks, pool.health()); // → 3 healthy
   * await pool.close();
   * ```
   */
  ready(): Promise<void> {
    if (this.#graceUntil !== undefined)
      return Promise.reject(new ClosedError(`Pool "${this.name}" is closed`));
    return this.#check?.ready() ?? Promise.resolve();
  }

  /**
   * How well the pool does, now.
   *
   * `stalled`, when nothing gets done: it is closed or paused; its breaker is open or isolated; somebody waits and nothing
   * has started for 30 s; its health check has not come back within its interval. `degraded`, when work is done but
   * worse than it should: its health check failed last, or has not passed yet; its breaker is half-open; work was
   * abandoned and goes on; its queue is above 80 %, or callers wait for room. Else `healthy`.
   */
  health(): Health {
    this.#check?.begin();
    const numbers = this.metrics();
    const { queued, queueCapacity, waitingForRoom, abandoned } = numbers;
    const checked = this.#check?.health;
    const circuit = this.#config.breaker?.state;
    if (this.#graceUntil !== undefined || this.#paused || checked === "stalled") return "stalled";
    if (circuit === "open" || circuit === "isolated" || this.#nothingStarts(numbers)) return "stalled";
    if (checked === "degraded" || circuit === "half-open" || abandoned > 0) return "degraded";
    return waitingForRoom > 0 || queued > 0.8 * queueCapacity ? "degraded" : "healthy";
  }

  /** The tasks of this pool, as they are now. */
  tasks(): TaskInfo[] {
    const infos: TaskInfo[] = [];
    this.catchUp();
    for (const work of this.#works) {
      if (work === undefined || work.state === OVER) continue;
      infos.push({
        ...named(work),
        state: work.state === WAITING ? "queued" : work.state === RUNNING ? "running" : "abandoned",
        ...this.#times(work),
      });
    }
    return infos;
  }

  /** Every number of this pool. */
  metrics(): PoolMetrics {
    this.catchUp();
    return readPoolMetrics(this.#config.name, this.#id, this.#config.queue.capacity);
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof PoolEvents>(event: K, fn: (detail: PoolEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** Closes without grace: `using pool = new Pool(…)`. */
  [dispose](): void {
    void this.close({ grace: 0, queued: "reject" });
  }

  /** Closes with the default grace: `await using pool = new Pool(…)`. */
  async [asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal Milliseconds after which trying again is worth it where there was no room; at least 1. */
  get turnover(): number {
    return Math.max(1, this.#count(6));
  }

  /** @internal From here on the machine knows of every task. */
  catchUp(): void {
    try {
      this.#tell();
    } catch (error) {
      // After a trap the new machine knows whoever runs.
      if (trapped(error) === error) throw error;
    }
  }

  /** @internal Carries out a decision. */
  wake(ticket: number, why: number, number: number): void {
    let work = this.#works[ticket & INDEX_MASK];
    if (work === undefined || work.ticket !== ticket) work = this.#displaced.get(ticket);
    if (work === undefined) return;
    switch (why) {
      case GRANTED:
        // One that shares a signal with many may be granted while the others leave.
        if (work.extra?.signal?.aborted === true) this.#cancel(work, work.extra.signal.reason);
        else {
          if (attendant !== undefined) attendant.rise(this, work.ticket);
          if (told !== 0) began(work);
          this.#start(work, attendant === undefined ? readAt : now());
        }
        return;
      case ACCEPTED:
        work.extra?.accepted?.();
        return;
      // What the wakes before this one ran may have cancelled the work already.
      case EXPIRED:
        if (work.state === RUNNING) this.#expire(work);
        return;
      case REVOKED:
        if (work.state === RUNNING)
          this.#leaveRunning(work, new ClosedError(`Pool "${this.name}" was closed and its grace is over`));
        return;
      default:
        this.#forget(work);
        this.#refuse(work, why - REFUSED, number);
        this.#over();
    }
  }

  /** @internal Who waits is not there any more, as far as anybody can tell. */
  forsake(ticket: number): (() => void) | undefined {
    const work = this.#works[ticket & INDEX_MASK];
    if (work?.ticket !== ticket || work.state !== WAITING) return undefined;
    this.#forget(work);
    survived(() => bindings.pool_release(this.#id, now(), ticket, NEVER_STARTED));
    this.#over();
    return () => {
      work.state = WAITING;
      const { extra } = work;
      // Its key was given back with its place.
      if (extra !== undefined) work.extra = { ...extra, keyId: this.#keys.intern(extra.key) };
      this.#admit(work);
    };
  }

  /** @internal Makes the machine again after a trap. */
  rebuild(error: RuntimeTrapError): () => void {
    this.#machine = this.#open();
    register(this, this.#machine, bindings.pool_drop);
    bindings.pool_start_empty(this.#machine, now());
    const waiters: Work[] = [];
    const running: Work[] = [];
    const abandoned: Work[] = [];
    for (const work of [...this.#works, ...this.#displaced.values(), this.#passing?.forget()]) {
      if (work?.state === WAITING) waiters.push(work);
      else if (work?.state === RUNNING) running.push(work);
      else if (work?.state === ABANDONED) abandoned.push(work);
    }
    this.#works.length = 0;
    this.#displaced.clear();
    for (const work of [...running, ...abandoned]) {
      // One whose time is over and that holds its slot has been told already.
      const leased = isLeased(work, this.#config);
      const rest = leased && work.task !== undefined ? this.#config.leaseTimeout : work.endsAt - now();
      const atEnd = leased ? 2 : this.#config.atEnd;
      const most = work.aborted ? Number.POSITIVE_INFINITY : Math.max(0, rest);
      work.ticket = bindings.pool_adopt(this.#id, readAt, work.extra?.weight ?? 1, most, atEnd);
      this.#works[work.index] = work;
    }
    for (const { ticket } of abandoned) bindings.pool_cancel(this.#id, readAt, ticket);
    if (this.#paused) bindings.pool_pause(this.#id);
    if (this.#coolUntil > now()) bindings.pool_cool_down(this.#id, this.#coolUntil);
    if (this.#graceUntil !== undefined)
      bindings.pool_close(this.#id, now(), 1, Math.max(0, this.#graceUntil - readAt));
    for (const work of waiters) {
      this.#release(work);
      this.#pending -= 1;
    }
    if (this.#pending > 0) hold(this.#id, this);
    return () => {
      for (const work of waiters) work.reject(error);
      if (this.#pending === 0) this.#idle();
    };
  }

  /** @internal The wait-for graph chose this waiter as the one to give way. */
  giveWay(work: Work, chain: readonly string[]): void {
    const name = work.extra?.name;
    const what = name === undefined ? "the task" : `task "${name}"`;
    this.#events.emit("deadlock", { ...named(work), chain });
    const error = new DeadlockError(
      `Pool "${this.name}" refused ${what}: it would never start: ${chain.join(", ")}`,
      chain,
    );
    inRequestOf(this, work.ticket, () => void this.#cancel(work, error));
  }

  /** @internal When a lease ends, in epoch milliseconds. */
  endOf(work: Work): number {
    return work.state === RUNNING && work.endsAt !== Number.POSITIVE_INFINITY
      ? toEpoch(work.endsAt)
      : Number.POSITIVE_INFINITY;
  }

  /** @internal Moves the end of a lease. */
  renew(work: Work, ms?: number): boolean {
    const span =
      ms === undefined
        ? isLeased(work, this.#config)
          ? this.#config.leaseTimeout
          : this.#timeoutOf(work)
        : milliseconds("ms", ms);
    if (work.state !== RUNNING) return false;
    const at = now();
    const ends = survived(() => bindings.pool_renew(this.#id, at, work.ticket, span));
    if (ends === undefined || ends < 0) return false;
    work.endsAt = at + span;
    return true;
  }

  /** @internal Ends a lease. */
  giveBack(work: Work): void {
    // A task's own slots go back when it settles: its lease is a view.
    if (work.task !== undefined) return;
    if (work.state === LAPSED) this.#late(work);
    else this.#finish(work, SUCCESS);
  }

  #nothingStarts({ active, queued, waitingForRoom, oldestRun }: PoolMetrics): boolean {
    if (queued + waitingForRoom === 0 || (active > 0 && oldestRun < STALLED_AFTER)) return false;
    let started = Number.NEGATIVE_INFINITY;
    let waits = Number.POSITIVE_INFINITY;
    for (const { state, queuedAt, startedAt } of this.tasks()) {
      if (state === "running") started = Math.max(started, startedAt ?? queuedAt);
      else if (state === "queued") waits = Math.min(waits, queuedAt);
    }
    return Math.max(started, waits) <= Date.now() - STALLED_AFTER;
  }

  #tellOfNesting(work: Work, frame: Frame): void {
    const outer = outerOf(frame, this);
    if (outer === undefined || !this.#events.heard("nesting")) return;
    this.#events.emit("nesting", { ...named(work), outer: outer.id });
  }

  /** The number of the machine, for whoever asks or tells it something. A trap is the caller's: its call is one of the old machine. */
  get #id(): number {
    this.#tell();
    return this.#machine;
  }

  #tell(): void {
    const work = this.#passing?.tell(this.#machine, this.#config.leaseTimeout);
    if (work !== undefined) this.#place(work);
  }

  #open(): number {
    const { queue, adaptive } = this.#config;
    const id = bindings.pool_open(
      this.#concurrency,
      adaptive?.max ?? 0,
      queue.capacity,
      queue.rule,
      queue.maxWaiters,
      queue.aging,
    );
    if (id < 0) throw new RangeError("There are too many pools: 16,777,216 exist already");
    const { rules, breaker, histograms } = this.#config;
    if (!histograms) bindings.pool_measure(id, 0);
    if (rules.length > 0 || breaker !== undefined) {
      const gated = bindings.pool_gate(id, layRules(area(), rules), breaker?.machine ?? -1);
      if (gated === 0)
        throw new TypeError("Expected `breaker` to be a CircuitBreaker of this copy of the package");
    }
    return id;
  }

  #read(options: RunOptions | undefined): Extra | undefined {
    return options === undefined ? undefined : this.#readAll(options);
  }

  #readAll(options: RunOptions = {}): Extra {
    return parseRunOptions(options, this.#config, this.#keys);
  }

  #impatient(task: Task<unknown> | undefined, options: RunOptions | undefined): Work {
    return new Work(this, task, { ...this.#readAll(options), patience: -1 });
  }

  /** Each attempt is admitted anew, and gives its slot back while it waits for the next. */
  #retrying<T>(policy: RetryPolicy, task: Task<T>, given: Extra | undefined): Promise<Awaited<T>> {
    const extra = given ?? this.#readAll();
    this.#keys.release(extra);
    const attempt = (number: number): Promise<Awaited<T>> => {
      // The key is used by one attempt at a time, like the slot.
      const work = new Work(this, task, { ...extra, keyId: this.#keys.intern(extra.key), attempt: number });
      return this.#admit(work) as Promise<Awaited<T>>;
    };
    const heard = (ms: number) => {
      if (ms > 0) this.coolDown(ms);
    };
    return policy.run(attempt, extra.signal, extra.deadline, heard);
  }

  /** Accepted is the first attempt; a cancel ends whichever attempt or pause it meets. */
  #submitRetrying<T>(policy: RetryPolicy, task: Task<T>, extra: Extra): Submission<Awaited<T>> {
    const stop = new AbortController();
    let over = false;
    const unfollow = onAbort(extra.signal, () => stop.abort(extra.signal?.reason));
    if (extra.signal?.aborted === true) stop.abort(extra.signal.reason);
    let accept!: () => void;
    const inside = new Promise<void>((resolve) => {
      accept = resolve;
    });
    const done = this.#retrying(policy, task, { ...extra, signal: stop.signal, accepted: accept });
    const end = () => {
      over = true;
      unfollow();
    };
    done.then(end, end);
    const accepted = Promise.race([inside, done]).then(() => {});
    accepted.catch(() => {});
    return {
      accepted,
      done,
      cancel: (reason) => {
        if (over || stop.signal.aborted) return false;
        stop.abort(reason ?? new DOMException("The task was cancelled", "AbortError"));
        return true;
      },
    };
  }

  #pass(work: Work): Promise<unknown> {
    this.#pending += 1;
    this.#start(work, readAt);
    return work.promise();
  }

  #admit(work: Work): Promise<unknown> {
    const refused = this.#request(work);
    if (refused >= 0) this.#refuse(work, refused, refused === ABORTED ? 0 : detail());
    settle();
    return work.promise();
  }

  #try(work: Work): boolean {
    const refused = this.#request(work);
    if (refused < 0) {
      settle();
      return true;
    }
    const number = refused === ABORTED || refused === TRAPPED ? 0 : detail();
    settle();
    if (refused === TRAPPED) throw this.#trap;
    if (refused === ABORTED) throw work.extra?.signal?.reason;
    if (refused === CLOSED || refused === NEVER_POSSIBLE)
      throw refusalError(this, refused, number, work.extra);
    return false;
  }

  /** Asks the machine. −1 when it was let in, else the code of the refusal. */
  #request(work: Work): number {
    const { extra } = work;
    const signal = extra?.signal;
    if (signal?.aborted === true) {
      this.#keys.release(extra);
      work.state = OVER;
      return ABORTED;
    }
    this.#check?.begin();
    const at = now();
    const config = this.#config;
    const lease = work.task === undefined;
    const atEnd = isLeased(work, config) ? 2 : config.atEnd;
    let answer: number;
    try {
      seed();
      answer =
        extra === undefined
          ? bindings.pool_request(
              this.#id,
              at,
              1,
              1,
              0,
              0,
              config.waitTimeout,
              Infinity,
              lease ? config.leaseTimeout : config.timeout,
              atEnd,
            )
          : bindings.pool_request(
              this.#id,
              at,
              extra.weight,
              extra.cost,
              extra.priority,
              extra.keyId,
              extra.patience,
              fromEpoch(extra.deadline),
              lease ? config.leaseTimeout : extra.timeout,
              atEnd,
            );
    } catch (error) {
      this.#keys.release(extra);
      work.state = OVER;
      this.#trap = trapped(error);
      return TRAPPED;
    }
    if (answer >= 3 * TICKET_SPAN) {
      this.#keys.release(extra);
      work.state = OVER;
      return answer - 3 * TICKET_SPAN;
    }
    const tag = answer >= 2 * TICKET_SPAN ? 2 : answer >= TICKET_SPAN ? 1 : 0;
    const ticket = answer - tag * TICKET_SPAN;
    work.ticket = ticket;
    this.#place(work);
    const isFirst = this.#pending++ === 0;
    if (signal !== undefined && (tag !== 0 || !lease))
      watch(this.#signals, signal, work, (one) => void this.#cancel(one, signal.reason));
    if (config.detectNesting) {
      work.frame = frameOf(work);
      if (tag !== 0 && work.frame !== undefined) this.#tellOfNesting(work, work.frame);
    }
    if (extra?.parent !== undefined) entered(work, tag !== 0);
    if (tag === 0) this.#start(work, at);
    else {
      if (attendant !== undefined) attendant.sit(this, ticket, this.#patienceOf(work, at));
      if (tag === 1) extra?.accepted?.();
    }
    // A task that has ended already held nobody up.
    if (isFirst && this.#pending > 0) hold(this.#machine, this);
    return -1;
  }

  #place(work: Work): void {
    const displaced = this.#works[work.index];
    if (displaced !== undefined) this.#displaced.set(displaced.ticket, displaced);
    this.#works[work.index] = work;
  }

  #start(work: Work, at: number): void {
    work.state = RUNNING;
    const { task, extra } = work;
    if (extra !== undefined) {
      extra.accepted?.();
      if (task === undefined) this.#unwatch(work);
    }
    const span = task === undefined ? this.#config.leaseTimeout : this.#timeoutOf(work);
    if (span !== Infinity || (extra !== undefined && extra.deadline !== Infinity)) {
      work.endsAt = Math.min(at + span, fromEpoch(extra?.deadline ?? Infinity));
    }
    if (task === undefined) {
      work.resolve(new HeldLease(work));
      return;
    }
    let result: unknown;
    let settles: boolean;
    try {
      const { frame } = work;
      result = frame === undefined ? task(new Context(work)) : runFramed(frame, task, work);
      // What is none has settled: to hear so by a promise of its own costs a third of a task.
      settles = isThenable(result);
    } catch (error) {
      this.#fail(work, error);
      return;
    }
    if (settles) {
      this.#followers.follow(work, result);
      if (attendant !== undefined && !this.#passing?.watch(work)) this.#attend(work, at);
    }
    // Where requests share the instance no time passes until one of them awaits something.
    else this.#succeed(work, result, attendant === undefined ? now() : readAt);
  }

  /** Where requests end without a word: whoever runs on hears of its end, or has a lease from now on. */
  #attend(work: Work, at: number): void {
    if (work.state !== RUNNING) return;
    const limited = !isLeased(work, this.#config);
    attendant?.stay(this, work.ticket, limited ? work.endsAt - at : Infinity);
    // What was renewed already has its end.
    if (limited || work.rare?.endsAt !== undefined) return;
    // Who has passed did not read the clock when it started; since it has a ticket, somebody has.
    survived(() => bindings.pool_renew(this.#id, readAt, work.ticket, this.#config.leaseTimeout));
  }

  #succeed(work: Work, value: unknown, at = this.#passing === undefined ? now() : undefined): void {
    const { breaker } = this.#config;
    const outcome = breaker !== undefined && this.#judge(breaker, value, false) ? FAILURE : SUCCESS;
    work.resolve(value);
    if (this.#passing?.leave(work)) {
      work.state = OVER;
      this.#pending -= 1;
      if (this.#pending === 0) this.#tellIdle();
    } else this.#finish(work, outcome, undefined, at);
  }

  #fail(work: Work, error: unknown): void {
    const { breaker } = this.#config;
    // An abort, or a refusal by a policy of our own, says nothing about the target.
    const silent = work.aborted || isRefusal(error);
    const failed = !silent && (breaker === undefined || this.#judge(breaker, error, true));
    work.reject(error);
    this.#finish(work, failed ? FAILURE : IGNORED, error);
  }

  #judge(breaker: CircuitBreaker, value: unknown, failed: boolean): boolean {
    try {
      return breaker.judge(value, failed);
    } catch (error) {
      reportError(error);
      return failed;
    }
  }

  /** The function has settled, or the lease was released. */
  #finish(work: Work, outcome: number, error?: unknown, at = now()): void {
    // It has a place before it leaves it.
    this.catchUp();
    const { state } = work;
    if (state >= OVER) {
      // A task that ran longer than its lease: its slots are somebody else's by now.
      if (state === LAPSED && work.task !== undefined) this.#late(work);
      return;
    }
    this.#forget(work);
    if (state === RUNNING) {
      this.#pending -= 1;
      // What ran out of time counted then.
      if (this.#seek !== undefined && !work.aborted) this.#seek(work, outcome, error);
    }
    try {
      const answer = bindings.pool_release(this.#id, at, work.ticket, outcome);
      if (answer === MAY_PASS) this.#passing?.open();
    } catch (error) {
      trapped(error);
    }
    settle();
    if (this.#pending === 0 && state === RUNNING) this.#idle();
  }

  #late(work: Work): void {
    work.state = OVER;
    survived(() => bindings.pool_release(this.#id, now(), NOBODY, IGNORED));
  }

  #patienceOf(work: Work, at: number): number {
    const { extra } = work;
    return extra === undefined
      ? this.#config.waitTimeout
      : Math.min(extra.patience, fromEpoch(extra.deadline) - at);
  }

  #cancel(work: Work, reason: unknown): boolean {
    if (work.state === RUNNING) {
      const at = now();
      const leave = () => bindings.pool_cancel(this.#id, at, work.ticket);
      // Where the call traps, the work is running in the new instance too, under another ticket.
      survived(
        () => {
          try {
            return leave();
          } catch (error) {
            if (trapped(error) === error) throw error;
            return leave();
          }
        },
        () => this.#leaveRunning(work, reason),
      );
      return true;
    }
    if (work.state !== WAITING) return false;
    const { ticket } = work;
    this.#forget(work);
    work.reject(reason);
    // It may have been granted already, with the news still in the ring: then what it took comes back.
    survived(() => bindings.pool_release(this.#id, now(), ticket, NEVER_STARTED));
    this.#over();
    return true;
  }

  #expire(work: Work): void {
    if (isLeased(work, this.#config)) {
      // A lease that nobody renewed; its holder finds out when it tries to.
      this.#forget(work);
      work.state = LAPSED;
      this.#over();
      return;
    }
    const limit = Math.min(
      this.#timeoutOf(work),
      (work.extra?.deadline ?? Infinity) - this.#times(work).queuedAt,
    );
    const abandoned = this.#config.atEnd === 0;
    const error = new TimeoutError(work.extra?.name ?? this.name, Math.round(limit));
    this.#seek?.(work, FAILURE, error);
    if (this.#events.heard("timeout")) this.#events.emit("timeout", { ...named(work), limit, abandoned });
    if (abandoned) this.#leaveRunning(work, error);
    else {
      this.#unwatch(work);
      work.abort(error);
      work.reject(error);
      attendant?.rise(this, work.ticket);
    }
  }

  /** The slot is free and the promise settles; the function may go on. */
  #leaveRunning(work: Work, reason: unknown): void {
    work.state = ABANDONED;
    if (told !== 0) left(work);
    if (attendant !== undefined) attendant.rise(this, work.ticket);
    this.#unwatch(work);
    work.abort(reason);
    work.reject(reason);
    if (work.task === undefined) {
      this.#forget(work);
      work.state = LAPSED;
    }
    this.#over();
  }

  #refuse(work: Work, code: number, number: number): void {
    if (code === ABORTED) work.reject(work.extra?.signal?.reason);
    else if (code === TRAPPED) work.reject(this.#trap);
    else {
      const error = refusalError(this, code, number, work.extra);
      if (code === 1 || code === 2)
        this.#events.emit("overflow", { rule: this.#config.overflow, queued: number });
      work.reject(error);
    }
  }

  /** Nothing of a work remains: no place, no listener, no key. */
  #forget(work: Work): void {
    work.state = OVER;
    if (this.#works[work.index] === work) this.#works[work.index] = undefined;
    else this.#displaced.delete(work.ticket);
    this.#release(work);
  }

  #release(work: Work): void {
    work.state = OVER;
    if (attendant !== undefined) attendant.rise(this, work.ticket);
    if (told !== 0) over(work);
    if (work.extra === undefined) return;
    this.#unwatch(work);
    this.#keys.release(work.extra);
  }

  #unwatch(work: Work): void {
    const signal = work.extra?.signal;
    if (signal !== undefined) this.#signals.get(signal)?.leave(work);
  }

  #over(): void {
    this.#pending -= 1;
    if (this.#pending === 0) this.#idle();
  }

  #idle(): void {
    hold(this.#machine, undefined);
    this.#tellIdle();
  }

  #tellIdle(): void {
    const waiting = this.#whenIdle;
    if (waiting.length > 0) {
      this.#whenIdle = [];
      for (const resolve of waiting) resolve();
    }
    if (this.#events.heard("idle")) this.#events.emit("idle", {});
  }

  #times(work: Work): { queuedAt: number; startedAt?: number } {
    survived(() => bindings.pool_times(this.#id, work.ticket));
    const cells = area();
    const startedAt = cells[LIST + 1] as number;
    const queuedAt = toEpoch(cells[LIST] as number);
    return startedAt < 0 ? { queuedAt } : { queuedAt, startedAt: toEpoch(startedAt) };
  }

  /** @internal Milliseconds since a task started, and how many slots are taken. */
  stand(work: Work): [latency: number, inFlight: number] {
    survived(() => bindings.pool_times(this.#id, work.ticket));
    return [now() - (area()[LIST + 1] as number), this.#count(5)];
  }

  #timeoutOf(work: Work): number {
    return work.extra?.timeout ?? this.#config.timeout;
  }

  #count(which: number): number {
    return survived(() => bindings.pool_count(this.#id, which)) ?? 0;
  }
}

// Codes of `#request` that are not the machine's.
const ABORTED = 1000;
const TRAPPED = 1001;

const REFUSALS: ReadonlySet<unknown> = new Set([
  "QUEUE_FULL",
  "DROPPED",
  "QUEUE_TIMEOUT",
  "BROKEN_CIRCUIT",
  "RATE_LIMITED",
  "CLOSED",
  "NEVER_POSSIBLE",
  "DEADLOCK",
]);

/** Whether what ends its time is its lease: always for leases, and for tasks without a timeout where holders may vanish. */
function isLeased(work: Work, config: PoolConfig): boolean {
  if (work.task === undefined) return true;
  if (attendant === undefined) return false;
  const { extra } = work;
  return extra === undefined
    ? config.timeout === Infinity
    : extra.timeout === Infinity && extra.deadline === Infinity;
}

/** What lists and events tell a task by. */
function named(work: Work): { id: number; name?: string } {
  const name = work.extra?.name;
  return { id: work.id, ...(name === undefined ? {} : { name }) };
}

/** Whether nothing but the machine has a say in the start and the end of a plain task. */
function mayPass({ timeout, detectNesting, adaptive, healthCheck }: PoolConfig): boolean {
  return timeout === Infinity && !detectNesting && adaptive === undefined && healthCheck === undefined;
}

/** Apart, so that a start without a frame makes no closure. */
function runFramed(frame: Frame, task: Task<unknown>, work: Work): unknown {
  return runIn(frame, () => task(new Context(work)));
}

function isRefusal(error: unknown): boolean {
  return error instanceof TidegateError
    ? REFUSALS.has(error.code)
    : (error as { name?: unknown } | null)?.name === "AbortError";
}
