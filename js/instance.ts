/**
 * A wasm instance with its world: loaded by an entry point, drained by whoever called last, timed by one timer, and
 * replaced when it traps.
 *
 * Every call of a machine is followed by {@link Instance.settle}: it carries out the wakes that the call left in the ring and
 * keeps the timer at the next deadline. Carrying out a wake can run user code that calls a machine again; such an inner
 * call only appends, and the outermost drains.
 */

import { now, readAt } from "./clock.js";
import { NotInitialisedError, RuntimeTrapError } from "./errors.js";
import { attendant, overdue } from "./presence.js";
import { weakly } from "./weak.js";

/** What the instance needs of a handle that has a machine in the world. */
export interface Handle {
  /** Carries out one decision about one waiter. */
  wake(ticket: number, why: number, detail: number): void;
  /** A breaker changed its state: the numbers of the state before and of the one it is in. */
  changed?(from: number, to: number): void;
  /** Time has left something to drop or to tell that no waiter hears of. */
  errand?(): void;
  /**
   * The waiter of this ticket is not there any more, or has not heard the `word` that it was sent: its place or what it was given
   * goes back. What is returned makes it wait again, or hear what it missed, should it be there after all.
   */
  forsake?(ticket: number, word: number | undefined): (() => void) | undefined;
  /** The lease of this ticket is over, though its holder never said so. */
  lapse?(ticket: number): void;
  /** After a trap: makes the machine again in the new instance, counts what still runs, and returns the waiters to reject. */
  rebuild(error: RuntimeTrapError): () => void;
}

/** Why a waiter is woken; refusals are `REFUSED` plus their code. */
export const GRANTED = 1;
export const ACCEPTED = 2;
export const EXPIRED = 3;
export const REVOKED = 4;
/** Somebody else brought what it waited for, or failed to. */
export const READY = 5;
export const FAILED = 6;
export const REFUSED = 16;

/** Tags of an answer: two bits above the 51 of a ticket. */
export const TICKET_SPAN = 2 ** 51;
/** The place of a ticket in an array beside the machine's slab. */
export const INDEX_MASK = 0xff_ffff;
export const INDEX_SPAN = 2 ** 24;

// Cells of the reply area: see `src/bindings/mod.rs`.
const WAKES = 0;
const NEXT_DEADLINE = 1;
const DETAIL = 2;
const MORE = 3;
const CHANGES = 6;
/** Not 0 where the machine of the last call has something for its handle to drop. */
export const LOOK = 7;
/** Where wakes lie: the machine, the ticket, why, and a number that belongs to it. */
const TRAY = 8;
const WAKE_CELLS = 4;
/** Where a list of numbers begins in the reply area. */
export const LIST = TRAY + 32 * WAKE_CELLS;
const AREA_CELLS = LIST + 56;

/** The longest delay a timer takes: beyond it `setTimeout` fires at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** What is sooner than this gets a timer where many requests share one instance. */
const NEAR = 5000;

/** The exports that every world has. */
export interface WorldBindings {
  readonly memory: WebAssembly.Memory;
  area(): number;
  world_seed(seed: number): void;
  world_wake(): void;
  world_on_deadline(now: number): void;
  /** Only worlds with breakers have changes to tell. */
  breaker_change?(): number;
  /** Only worlds with caches and objects have errands: the next machine that has one, or −1. */
  errand?(): number;
}

interface Registration {
  readonly id: number;
  readonly weak: ReturnType<typeof weakly<Handle>>;
  // Held while somebody waits for the handle, who may have no other hold on it than the promise.
  strong: Handle | undefined;
}

/** The handles of each instance of this copy of the package. */
export const worlds: (() => Iterable<Handle>)[] = [];

/** What {@link createInstance} makes: the calls are explained at their definitions. */
export type Instance = ReturnType<typeof createInstance>;

/** An instance that nothing is loaded into yet. `use` is told the exports to call, at first and again after a trap. */
export function createInstance(use: (exports: WebAssembly.Exports) => WorldBindings) {
  let bindings: WorldBindings;
  let compiled: WebAssembly.Module | undefined;
  let memory: WebAssembly.Memory | undefined;
  let cells = new Float64Array(0);
  let draining = false;
  /** How many wakes of the tray have been taken. */
  let taken = 0;
  let armedAt = Number.POSITIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** How many handles somebody waits for. */
  let waitedFor = 0;
  let watchesVisibility = false;

  const registrations = new Map<number, Registration>();
  /** The one that was looked up last: most wakes in a row are one pool's. */
  let last: Registration | undefined;
  const forgotten =
    typeof FinalizationRegistry === "function"
      ? new FinalizationRegistry<{
          id: number;
          registration: Registration;
          drop: (id: number) => void;
        }>(({ id, registration, drop }) => {
          // After a trap the number may be another handle's.
          if (registrations.get(id) !== registration) return;
          forget(id);
          drop(id);
        })
      : undefined;

  /** Loads a compiled module, or does nothing when the same one is loaded already. */
  function load(module: WebAssembly.Module): void {
    if (compiled === module) return;
    if (compiled !== undefined) {
      throw new TypeError(
        "Expected `init` to be called with the module that is already loaded, got a different one",
      );
    }
    instantiate(module);
    compiled = module;
  }

  /** Whether a module is loaded. */
  function loaded(): boolean {
    return compiled !== undefined;
  }

  function instantiate(module: WebAssembly.Module): void {
    bindings = use(new WebAssembly.Instance(module).exports);
    memory = bindings.memory;
    seeded = false;
    taken = 0;
    refresh();
  }

  let seeded = false;

  /** Ready to be called, or says what to do. Constructors call it; it draws no randomness: edge isolates forbid that at module scope. */
  function ready(): void {
    if (compiled === undefined) {
      throw new NotInitialisedError(
        "`tidegate/slim` is not initialised: call `init(module)` first, or import `tidegate` instead",
      );
    }
  }

  /** Seeds the world's generator once; called by the first thing that happens inside a request, never by a constructor. */
  function seed(): void {
    if (seeded) return;
    seeded = true;
    guarded(() => bindings.world_seed(Math.random() * Number.MAX_SAFE_INTEGER));
  }

  /** A call off the hot path: a trap is answered, and thrown as what it is. */
  function guarded<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      throw trapped(error);
    }
  }

  /**
   * The same, where the caller can go on without an answer: after a trap there is none. Then what was decided is carried out, after
   * what has to be done `first`.
   */
  function survived<T>(call: () => T, first?: () => void): T | undefined {
    let answer: T | undefined;
    try {
      answer = call();
    } catch (error) {
      if (trapped(error) === error) throw error;
    }
    first?.();
    settle();
    return answer;
  }

  function refresh(): Float64Array {
    if (memory !== undefined) cells = new Float64Array(memory.buffer, bindings.area(), AREA_CELLS);
    return cells;
  }

  /** The reply area; a view of its own is made again when the memory has grown. */
  function area(): Float64Array {
    return cells.length === 0 ? refresh() : cells;
  }

  /** What a refusal says beside its code. */
  function detail(): number {
    return area()[DETAIL] as number;
  }

  /** Registers a handle under its machine's id; `drop` is only the safety net for one that nobody closed. */
  function register(handle: Handle, id: number, drop: (id: number) => void): void {
    forget(id);
    const registration = { id, weak: weakly(handle), strong: undefined };
    registrations.set(id, registration);
    forgotten?.register(handle, { id, registration, drop }, handle);
  }

  /** Keeps a handle alive while somebody waits for it, and the process with it. */
  function hold(id: number, handle: Handle | undefined): void {
    const registration = registrations.get(id);
    if (registration === undefined || registration.strong === handle) return;
    waitedFor += (handle === undefined ? 0 : 1) - (registration.strong === undefined ? 0 : 1);
    registration.strong = handle;
    keepProcess();
  }

  /** Where timers keep a process alive, ours does so for somebody who waits, not for a cache entry that grows old. */
  function keepProcess(): void {
    if (timer === undefined) return;
    const handle = timer as unknown as { ref?: () => void; unref?: () => void };
    if (waitedFor > 0) handle.ref?.();
    else handle.unref?.();
  }

  /** Forgets a handle whose machine is dropped. */
  function unregister(handle: Handle, id: number): void {
    hold(id, undefined);
    forget(id);
    forgotten?.unregister(handle);
  }

  function forget(id: number): void {
    registrations.delete(id);
    if (last?.id === id) last = undefined;
  }

  /** Carries out what the last call decided, and keeps the timer right. */
  function settle(): void {
    let view = area();
    if ((view[WAKES] !== 0 || view[CHANGES] !== 0) && !draining) {
      drain();
      view = area();
    }
    if (view[NEXT_DEADLINE] !== armedAt) arm(view[NEXT_DEADLINE] as number);
  }

  function drain(): void {
    draining = true;
    try {
      do {
        try {
          carryOut();
        } catch (error) {
          // After a trap everybody has been told, and there is nothing that the caller could do about it.
          if (trapped(error) === error) throw error;
        }
      } while (area()[WAKES] !== 0 || area()[CHANGES] !== 0);
    } finally {
      draining = false;
    }
  }

  function carryOut(): void {
    let view = area();
    for (; view[WAKES] !== 0; view = area()) {
      if (taken < (view[WAKES] as number)) {
        const at = TRAY + WAKE_CELLS * taken++;
        const handle = handleOf(view[at] as number);
        const ticket = view[at + 1] as number;
        const why = view[at + 2] as number;
        const number = view[at + 3] as number;
        if (attendant === undefined) handle?.wake(ticket, why, number);
        else if (handle !== undefined) attendant.wake(handle, ticket, why, number, carry);
      } else {
        view[WAKES] = taken = 0;
        if (view[MORE] !== 0) bindings.world_wake();
      }
    }
    if (view[CHANGES] === 0) return;
    while (bindings.breaker_change !== undefined && bindings.breaker_change() !== 0) {
      view = area();
      const [from, to] = [view[LIST + 1] as number, view[LIST + 2] as number];
      handleOf(view[LIST] as number)?.changed?.(from, to);
    }
  }

  /** Carries out one decision, in the request of the one it is about. */
  function carry(handle: Handle, ticket: number, why: number, number: number): void {
    try {
      handle.wake(ticket, why, number);
    } catch (error) {
      if (trapped(error) === error) throw error;
    }
    settle();
  }

  function handleOf(id: number): Handle | undefined {
    if (last?.id !== id) last = registrations.get(id);
    // Most are held by those who wait; to look through a weak reference costs more.
    return last?.strong ?? last?.weak.deref();
  }

  /** Every handle that has a machine, oldest first. */
  function* handles(): Generator<Handle> {
    for (const { weak } of registrations.values()) {
      const handle = weak.deref();
      if (handle !== undefined) yield handle;
    }
  }

  function arm(at: number): void {
    // One that comes too early looks again: with time limits nearly every task would have it moved.
    if (timer !== undefined && attendant === undefined && armedAt <= at && at !== Number.POSITIVE_INFINITY)
      return;
    if (timer !== undefined) clearTimeout(timer);
    timer = undefined;
    armedAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    // Those who wait look at what is overdue themselves; a timer for what is far would be set anew with every task.
    // The caller has just read the clock for the call that has set it.
    if (attendant !== undefined && at - readAt > NEAR) return;
    timer = setTimeout(tick, Math.min(LONGEST_DELAY, Math.max(0, Math.ceil(at - now()))));
    keepProcess();
    if (!watchesVisibility && typeof document !== "undefined") {
      watchesVisibility = true;
      // Hidden tabs hold timers back for up to a minute: look again the moment somebody looks at us.
      document.addEventListener("visibilitychange", () => {
        if (timer !== undefined) tick();
      });
    }
  }

  function tick(): void {
    if (timer !== undefined) clearTimeout(timer);
    timer = undefined;
    armedAt = Number.POSITIVE_INFINITY;
    try {
      bindings.world_on_deadline(now());
      for (let id = bindings.errand?.() ?? -1; id >= 0; id = bindings.errand?.() ?? -1) {
        handleOf(id)?.errand?.();
      }
    } catch (error) {
      trapped(error);
    }
    settle();
  }

  /**
   * Answers an exception from a wasm call: a trap blocks the old instance for good and puts a fresh one in its place, with
   * what runs counted as running and everybody who waits rejected; anything else is passed on.
   */
  function trapped(error: unknown): unknown {
    if (!(error instanceof WebAssembly.RuntimeError) || compiled === undefined) return error;
    const trap = new RuntimeTrapError(`The wasm module trapped: ${error.message}`, { cause: error });
    const alive = [...handles()];
    for (const handle of alive) {
      forgotten?.unregister(handle);
      attendant?.forget(handle);
    }
    registrations.clear();
    last = undefined;
    waitedFor = 0;
    instantiate(compiled);
    // First everything is as it should be, then anybody is told: a rejected waiter may call again at once.
    const tell = alive.map((handle) => handle.rebuild(trap));
    for (const each of tell) each();
    settle();
    return trap;
  }

  worlds.push(handles);
  overdue.push(() => {
    if (armedAt <= now()) tick();
  });
  return {
    load,
    loaded,
    ready,
    seed,
    guarded,
    survived,
    area,
    detail,
    register,
    hold,
    unregister,
    settle,
    trapped,
  };
}
