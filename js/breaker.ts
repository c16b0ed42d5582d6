import { type BreakerOptions, type BreakerRules, parseBreakerOptions } from "./breaker-options.js";
import { now, readAt } from "./clock.js";
import { area, guarded, ready, register, survived, unregister } from "./core.js";
import { dispose } from "./dispose.js";
import type { RuntimeTrapError } from "./errors.js";
import { type Disposer, Events } from "./events.js";
import { bindings } from "./generated/core_bg.js";
import { type Handle, LIST } from "./instance.js";
import { choice, integer, object, reject } from "./options.js";
import type { RunOptions } from "./pool-options.js";
import { unbounded } from "./unbounded.js";
import type { Task } from "./work.js";

/** What a breaker does with calls: lets them through, refuses them, lets a few probe, or refuses all until a person says otherwise. */
export type BreakerState = "closed" | "open" | "half-open" | "isolated";

const STATES: readonly BreakerState[] = ["closed", "open", "half-open", "isolated"];

/** What a breaker tells those who listen. */
export interface BreakerEvents {
  /** It changed its state. */
  change: { from: BreakerState; to: BreakerState };
}

/** What outlives a breaker: plain numbers, with the time left as a duration, since clocks do not outlive it. */
export interface BreakerSnapshot {
  /** What it does with calls. */
  readonly state: BreakerState;
  /** Milliseconds that it stays open from now on. */
  readonly openFor: number;
  /** Failures in a row. */
  readonly consecutive: number;
  /** How often it has opened since it last recovered. */
  readonly openings: number;
}

/** Every number of a breaker. */
export interface BreakerMetrics extends BreakerSnapshot {
  /** The name given with the options. */
  readonly name: string;
  /** Calls that ended well. */
  readonly successes: number;
  /** Calls that failed, by its own judgement. */
  readonly failures: number;
  /** Calls that say nothing about the target. */
  readonly ignored: number;
  /** Calls that were turned away. */
  readonly refused: number;
  /** How often it has opened. */
  readonly opened: number;
}

/**
 * Stops calling what fails, and finds out gently whether it works again: closed, open, half-open, isolated.
 *
 * Time comes with the calls: no timer is needed to become half-open. Half-open lets `probes` calls through, however many
 * ask; a probe that is cancelled gives its permit back unjudged.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, isBrokenCircuitError } from "tidegate";
 *
 * const breaker = new CircuitBreaker({ name: "api", consecutive: 3, openFor: 10_000 });
 * const down = () => Promise.reject(new Error("down"));
 * for (let call = 1; call <= 3; call += 1) await breaker.run(down).catch(() => {});
 *
 * await breaker.run(down).catch((error: unknown) => {
 *   if (isBrokenCircuitError(error)) console.log(breaker.state, error.retryAfterMs! > 9_000); // → open true
 * });
 * ```
 */
export class CircuitBreaker implements Handle {
  readonly #rules: BreakerRules;
  readonly #events: Events<BreakerEvents>;
  #id: number;
  #last: BreakerSnapshot | undefined;
  #lastAt = 0;
  #holds = 0;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options?: BreakerOptions);
  /** @internal `within` is where the options stand. */
  constructor(options?: BreakerOptions, within?: string);
  constructor(options: BreakerOptions = {}, within = "") {
    ready();
    this.#rules = parseBreakerOptions(options, within);
    this.#events = new Events("breaker", this.#rules.name);
    this.#id = guarded(() => this.#open(undefined));
    register(this, this.#id, bindings.breaker_drop);
  }

  /**
   * A breaker that goes on from where `json`, made by {@link toJSON}, says another was: after a reload, or elsewhere.
   *
   * @throws TypeError where `json` is not such a snapshot, or an option is wrong
   * @example
   * ```ts
   * import { CircuitBreaker } from "tidegate";
   *
   * const before = new CircuitBreaker({ consecutive: 1 });
   * await before.run(() => Promise.reject(new Error("down"))).catch(() => {});
   * const kept = JSON.stringify(before);
   * console.log(CircuitBreaker.from(JSON.parse(kept), { consecutive: 1 }).state); // → open
   * ```
   */
  static from(json: BreakerSnapshot, options: BreakerOptions = {}): CircuitBreaker {
    const snapshot = parseSnapshot(json);
    const breaker = new CircuitBreaker(options);
    unregister(breaker, breaker.#id);
    guarded(() => bindings.breaker_drop(breaker.#id));
    breaker.#id = guarded(() => breaker.#open(snapshot));
    register(breaker, breaker.#id, bindings.breaker_drop);
    breaker.#last = snapshot;
    breaker.#lastAt = readAt;
    return breaker;
  }

  /** The name given with the options. */
  get name(): string {
    return this.#rules.name;
  }

  /** Its state now. */
  get state(): BreakerState {
    return STATES[survived(() => bindings.breaker_state(this.#id, now())) ?? 0] as BreakerState;
  }

  /**
   * Runs a task if the circuit lets it. An abort, and a refusal by this package's own policies, are not the target's
   * failures and are not judged.
   *
   * @throws BrokenCircuitError with `retryAfterMs`; TimeoutError; after an abort `signal.reason`; whatever the task throws
   */
  run<T>(task: Task<T>, options?: RunOptions): Promise<Awaited<T>> {
    return unbounded(this).run(task, options);
  }

  /** Turns everybody away, those who wait in its pools included, until what it returns is disposed. Held several times, it opens again when the last hold is. */
  isolate(): Disposer {
    this.#holds += 1;
    survived(() => bindings.breaker_isolate(this.#id, now()));
    let held = true;
    const lift = (() => {
      if (!held) return;
      held = false;
      this.#holds -= 1;
      survived(() => bindings.breaker_lift(this.#id, now()));
    }) as Disposer;
    Object.defineProperty(lift, dispose, { value: lift });
    return lift;
  }

  /** What {@link from} needs to go on from here. */
  toJSON(): BreakerSnapshot {
    const { state, openFor, consecutive, openings } = this.metrics();
    return { state, openFor, consecutive, openings };
  }

  /** Every number of this breaker. */
  metrics(): BreakerMetrics {
    survived(() => bindings.breaker_stats(this.#id, now()));
    const at = (index: number) => area()[LIST + index] as number;
    return {
      name: this.name,
      state: STATES[at(0)] as BreakerState,
      openFor: at(1),
      consecutive: at(2),
      openings: at(3),
      successes: at(4),
      failures: at(5),
      ignored: at(6),
      refused: at(7),
      opened: at(8),
    };
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof BreakerEvents>(event: K, fn: (detail: BreakerEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** For `using`: nothing of a breaker goes on that would have to be ended. */
  [dispose](): void {}

  /** @internal The id of the machine, for pools that hang on it. */
  get machine(): number {
    return this.#id;
  }

  /** @internal Whether an error or a result counts as a failure of the target. */
  judge(value: unknown, failed: boolean): boolean {
    return this.#rules.isFailure === undefined ? failed : this.#rules.isFailure(value);
  }

  /** @internal A breaker has no waiters. */
  wake(): void {}

  /** @internal Tells of a change, and remembers where it is for a new instance after a trap. */
  changed(from: number, to: number): void {
    bindings.breaker_stats(this.#id, now());
    const cells = area();
    this.#last = {
      state: STATES[to] as BreakerState,
      openFor: cells[LIST + 1] as number,
      consecutive: cells[LIST + 2] as number,
      openings: cells[LIST + 3] as number,
    };
    this.#lastAt = readAt;
    this.#events.emit("change", { from: STATES[from] as BreakerState, to: STATES[to] as BreakerState });
  }

  /** @internal Goes on in a new instance from the last snapshot. */
  rebuild(_: RuntimeTrapError): () => void {
    const last = this.#last;
    const openFor = last === undefined ? 0 : Math.max(0, last.openFor - (now() - this.#lastAt));
    // What is isolated is isolated anew, once for each hold.
    const isolated = last?.state === "isolated";
    this.#id = this.#open(last === undefined || isolated ? undefined : { ...last, openFor });
    register(this, this.#id, bindings.breaker_drop);
    for (let hold = 0; hold < this.#holds; hold += 1) bindings.breaker_isolate(this.#id, now());
    return () => {};
  }

  #open(snapshot: BreakerSnapshot | undefined): number {
    const cells = area();
    this.#rules.numbers.forEach((number, at) => {
      cells[LIST + at] = number;
    });
    if (snapshot !== undefined) {
      const { state, openFor, consecutive, openings } = snapshot;
      [STATES.indexOf(state), openFor, consecutive, openings].forEach((number, at) => {
        cells[LIST + this.#rules.numbers.length + at] = number;
      });
    }
    const id = bindings.breaker_open(snapshot === undefined ? 0 : now(), Number(snapshot !== undefined));
    if (id < 0) throw new RangeError("The breaker could not be made: its options are out of range");
    return id;
  }
}

function parseSnapshot(json: BreakerSnapshot): BreakerSnapshot {
  if (object("json", json) === undefined) reject("json", "what `toJSON` gave", json);
  return {
    state: choice("json.state", json.state, STATES),
    openFor:
      typeof json.openFor === "number" && json.openFor >= 0
        ? json.openFor
        : reject("json.openFor", "a number ≥ 0", json.openFor),
    consecutive: integer("json.consecutive", json.consecutive, 0),
    openings: integer("json.openings", json.openings, 0),
  };
}
