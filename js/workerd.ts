/**
 * The host of those who wait on workerd, where one isolate serves many requests at once.
 *
 * - A request with nothing pending of its own is killed as hung. So each waiter owns a timer in its own request: it keeps the
 *   request alive, says that the waiter is still there, looks at deadlines, and picks up what was decided meanwhile.
 * - What settles a promise of another request kills that request, or resumes it in the wrong context, unless the
 *   platform says that it can (`handle_cross_request_promise_resolution`, the default from 2024-10-14). So a decision
 *   is laid in the waiter's **mail**; where the platform can, a promise made in its own request is resolved, whose
 *   reactions run there, else the waiter finds its mail at its next beat.
 * - A request that was given up never says so. Who is still there, who is passed over and whose lease is over is
 *   decided by `src/machine/presence.rs`.
 */

import { now } from "./clock.js";
import { bindings, use } from "./generated/edge_bg.js";
import { ACCEPTED, GRANTED, type Handle, REFUSED, TICKET_SPAN } from "./instance.js";
import { Passing } from "./passing.js";
import { type Attendant, type Carry, overdue } from "./presence.js";

/** A handler that holds a slot longer than this without a word is taken for one that was given up. */
const LEASE = 30_000;
/** How soon somebody looks again whose time is over and who has not been told. */
const SOON = 5;
/** How often somebody looks for mail who is not in any line. */
const BEAT = 50;
/** How often somebody looks who runs, and whom nobody else can tell of its end. */
const RUN_BEAT = 500;
/** Beyond it `setTimeout` fires at once. */
const LONGEST_DELAY = 2 ** 31 - 1;

/** Whether promises of other requests may be resolved here. */
const reaches =
  (globalThis as { Cloudflare?: { compatibilityFlags?: Record<string, boolean> } }).Cloudflare
    ?.compatibilityFlags?.handle_cross_request_promise_resolution === true;
const runBeat = reaches ? LONGEST_DELAY : RUN_BEAT;

/** Where those of one turn of one request wait for one handle: they share a timer, and what is decided about them. */
class Seat {
  readonly handle: Handle | undefined;
  /** Who sits here, and until when each of them waits or may run. */
  readonly tickets = new Map<number, number>();
  over = false;
  /** Which of them wait in the line of their handle. */
  readonly #waiting = new Set<number>();
  /** Its number in the machine while somebody waits here, else −1. */
  #number = -1;
  #mail: Letter[] = [];
  readonly #turn = thisTurn();
  // Where others can be reached, it does not matter whose request is running.
  readonly #isHere = reaches ? undefined : here();
  /** It was given up: what makes each wait again, if that was wrong. */
  #again: (() => void)[] = [];
  #handed = false;
  #hop: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = Number.POSITIVE_INFINITY;
  /** When it has to look, whatever its beats say. */
  #until = Number.POSITIVE_INFINITY;

  constructor(handle: Handle | undefined) {
    this.handle = handle;
    if (reaches) this.#listen();
  }

  add(ticket: number, until: number): void {
    this.tickets.set(ticket, until);
    if (until < this.#until) this.#until = until;
  }

  /** One who sits here waits from now on. */
  wait(ticket: number, at: number): void {
    this.#waiting.add(ticket);
    if (this.#number >= 0) return;
    this.#number = bindings.presence_sit(at, lineOf(this.handle as Handle));
    if (this.#number >= 0) seatsByNumber.set(this.#number, this);
  }

  leave(ticket: number): void {
    this.tickets.delete(ticket);
    this.#waiting.delete(ticket);
    if (this.#waiting.size === 0) this.#rise();
    this.#endIfEmpty();
  }

  /** Hands one of them what it waited for. False when nobody is there to take it. */
  hand(): boolean {
    if (this.#number < 0) return true;
    this.#handed = true;
    return bindings.presence_hand(now(), this.#number) !== 0;
  }

  deliver(ticket: number, deed: () => void, why = GRANTED): void {
    this.#mail.push({ ticket, why, deed });
    if (turn === this.#turn || this.#isHere?.() === true) {
      this.#take();
      return;
    }
    const hop = this.#hop;
    this.#hop = undefined;
    hop?.();
  }

  /** Goes off within so many milliseconds, and no later than anybody here has to look. */
  arm(delay: number): void {
    const at = now();
    const rest = this.#until - at;
    // One whose time is up and that nobody has told so yet looks again soon: clocks are not that exact.
    const most = Math.ceil(Math.min(LONGEST_DELAY, delay, rest < 0 ? SOON : rest));
    if (at + most >= this.#due) return;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    this.#due = at + most;
    this.#timer = setTimeout(() => this.#tick(), most);
  }

  /** Nobody is there any more, as far as anybody can tell. Its timer stays: if it goes off, somebody is there. */
  lose(ticket?: number, why = GRANTED): void {
    const handle = this.handle as Handle;
    this.#rise();
    const told = new Map([[ticket, why]]);
    for (const letter of this.#mail) told.set(letter.ticket, letter.why);
    this.#mail = this.#mail.filter((letter) => !this.#waiting.has(letter.ticket));
    for (const each of [...this.#waiting]) {
      remove(seats, handle, each);
      this.tickets.delete(each);
      this.#waiting.delete(each);
      const again = handle.forsake?.(each, told.get(each));
      if (again !== undefined) this.#again.push(again);
    }
  }

  #rise(): void {
    if (this.#number < 0) return;
    seatsByNumber.delete(this.#number);
    bindings.presence_rise(this.#number);
    this.#number = -1;
    this.#handed = false;
  }

  #endIfEmpty(): void {
    if (this.tickets.size > 0 || this.#again.length > 0) return;
    this.over = true;
    if (this.#timer !== undefined) clearTimeout(this.#timer);
  }

  /** Made in its own request, so that what follows runs there, whoever resolves it. */
  #listen(): void {
    new Promise<void>((resolve) => {
      this.#hop = resolve;
    }).then(() => {
      this.#hop = undefined;
      this.#take();
    });
  }

  /** In its own request: carries out what was decided. */
  #take(): void {
    if (this.over) return;
    if (this.#handed) {
      bindings.presence_claim(now(), this.#number);
      this.#handed = false;
    }
    // What a deed leads to may bring more.
    for (let letter = this.#mail.shift(); letter !== undefined; letter = this.#mail.shift()) letter.deed();
    for (const again of this.#again.splice(0)) again();
    this.#endIfEmpty();
    if (!this.over && reaches && this.#hop === undefined) this.#listen();
  }

  #tick(): void {
    this.#timer = undefined;
    this.#due = Number.POSITIVE_INFINITY;
    let delay = this.tickets.has(EVERYBODY) ? BEAT : runBeat;
    if (this.#number >= 0) delay = bindings.presence_beat(now(), this.#number);
    look();
    this.#take();
    if (this.over) return;
    if (this.#until <= now()) this.#until = earliest(this.tickets.values());
    this.arm(delay < 0 ? SOON : delay);
  }
}

/** When somebody who has just come is heard of first. */
let firstBeat = SOON;

/** A decision on its way to the one it is about. */
interface Letter {
  readonly ticket: number;
  readonly why: number;
  readonly deed: () => void;
}

/** The ticket of the one that all decisions about a handle go to. */
const EVERYBODY = -1;

function earliest(times: Iterable<number>): number {
  let first = Number.POSITIVE_INFINITY;
  for (const time of times) if (time < first) first = time;
  return first;
}

/** Until the promises that are settled have run on, only one request runs: its seats by handle. */
let turn: Map<Handle, Seat> | undefined;

function thisTurn(): Map<Handle, Seat> {
  if (turn === undefined) {
    turn = new Map();
    queueMicrotask(() => {
      turn = undefined;
    });
  }
  return turn;
}

/** The seat of those who come in this turn, in the request that is running. */
function seatHere(handle: Handle): Seat {
  const all = thisTurn();
  let seat = all.get(handle);
  if (seat === undefined || seat.over) all.set(handle, (seat = new Seat(handle)));
  return seat;
}

interface Held {
  readonly handle: Handle;
  readonly ticket: number;
  readonly number: number;
}

const seats = new Map<Handle, Map<number, Seat>>();
const seatsByNumber = new Map<number, Seat>();
const leases = new Map<Handle, Map<number, Held>>();
const leasesByNumber = new Map<number, Held>();
const lines = new WeakMap<Handle, number>();
let lastLine = 0;

/** Carries out what is overdue, and takes back what was given to those who are gone. */
function look(): void {
  for (const each of overdue) each();
  for (let id = bindings.presence_lost(now()); id >= 0; id = bindings.presence_lost(now())) {
    if (id < TICKET_SPAN) seatsByNumber.get(id)?.lose();
    else {
      const held = leasesByNumber.get(id - TICKET_SPAN);
      if (held === undefined) continue;
      forgetLease(held);
      held.handle.lapse?.(held.ticket);
    }
  }
}

function seatOf(handle: Handle, ticket: number): Seat | undefined {
  const all = seats.get(handle);
  return all?.get(ticket) ?? all?.get(EVERYBODY);
}

function put<T>(map: Map<Handle, Map<number, T>>, handle: Handle, ticket: number, value: T): void {
  let all = map.get(handle);
  if (all === undefined) map.set(handle, (all = new Map()));
  all.set(ticket, value);
}

function remove<T>(map: Map<Handle, Map<number, T>>, handle: Handle, ticket: number): void {
  const all = map.get(handle);
  if (all?.delete(ticket) && all.size === 0) map.delete(handle);
}

function lineOf(handle: Handle): number {
  let line = lines.get(handle);
  if (line === undefined) lines.set(handle, (line = ++lastLine));
  return line;
}

function forgetLease(held: Held): void {
  leasesByNumber.delete(held.number);
  remove(leases, held.handle, held.ticket);
}

/**
 * Whether a request is still the one that is running. Nothing says so; but an end of a web socket may only be touched in
 * the request that made it.
 */
function here(): () => boolean {
  const pair = new (
    globalThis as unknown as { WebSocketPair: new () => Record<string, { readyState: number }> }
  ).WebSocketPair();
  const end = pair[0] as { readyState: number };
  return () => {
    try {
      return end.readyState >= 0;
    } catch {
      return false;
    }
  };
}

/** The attendant of workerd. */
export const workerd: Attendant = {
  leaseTimeout: LEASE,
  sit(handle, ticket, patience) {
    const at = now();
    const seat = seatHere(handle);
    seat.add(ticket, at + patience);
    seat.wait(ticket, at);
    put(seats, handle, ticket, seat);
    seat.arm(firstBeat);
  },
  stay(handle, ticket, ms) {
    // Who can be reached anyway needs a timer only for an end of its own.
    if (reaches && ms === Number.POSITIVE_INFINITY) return;
    const seat = seatHere(handle);
    seat.add(ticket, now() + ms);
    put(seats, handle, ticket, seat);
    seat.arm(runBeat);
  },
  dwell(handle) {
    const seat = new Seat(handle);
    seat.add(EVERYBODY, Number.POSITIVE_INFINITY);
    put(seats, handle, EVERYBODY, seat);
    seat.arm(BEAT);
  },
  rise(handle, ticket) {
    if (seats.size === 0) return;
    const seat = seats.get(handle)?.get(ticket);
    if (seat === undefined) return;
    remove(seats, handle, ticket);
    seat.leave(ticket);
  },
  wake(handle, ticket, why, detail, carry) {
    const seat = seatOf(handle, ticket);
    if (seat === undefined) {
      handle.wake(ticket, why, detail);
      return;
    }
    const handed = why < REFUSED && why !== ACCEPTED && seat.tickets.has(ticket);
    if (handed && !seat.hand()) seat.lose(ticket, why);
    else seat.deliver(ticket, () => carry(handle, ticket, why, detail), why);
  },
  post(handle, ticket, deed) {
    const seat = seatOf(handle, ticket);
    if (seat === undefined) deed();
    else seat.deliver(ticket, deed);
  },
  own(settle) {
    const seat = new Seat(undefined);
    seat.add(EVERYBODY, Number.POSITIVE_INFINITY);
    seat.arm(BEAT);
    return (value) =>
      seat.deliver(EVERYBODY, () => {
        seat.leave(EVERYBODY);
        settle(value);
      });
  },
  lease(handle, ticket, ms) {
    const number = bindings.presence_lease(now(), ms);
    if (number < 0) return;
    const held = { handle, ticket, number };
    put(leases, handle, ticket, held);
    leasesByNumber.set(number, held);
  },
  renew(handle, ticket, ms) {
    const held = leases.get(handle)?.get(ticket);
    return held !== undefined && bindings.presence_renew(now(), held.number, ms) === 1;
  },
  endLease(handle, ticket) {
    const held = leases.get(handle)?.get(ticket);
    if (held === undefined) return;
    forgetLease(held);
    bindings.presence_end_lease(held.number);
  },
  forget(handle) {
    for (const [ticket] of seats.get(handle) ?? []) this.rise(handle, ticket);
    for (const [ticket] of leases.get(handle) ?? []) this.endLease(handle, ticket);
  },
  passing: (pool) => new Passing(pool),
  here,
};

/** Loads the machine. */
export function load(module: WebAssembly.Module): void {
  use(new WebAssembly.Instance(module).exports);
  if (reaches) bindings.presence_tells();
  firstBeat = bindings.presence_first_beat();
}

export type { Carry };
