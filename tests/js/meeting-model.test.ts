/**
 * Events and barriers against an exact model, with the real wasm: who waits, who passes and who is turned away, and when.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Barrier, Event } from "tidegate";
import {
  type Call,
  type Common,
  common,
  type Ended,
  given,
  holds,
  type Pause,
  Run,
  someSignal,
  someTimeout,
  stepsOf,
  time,
  walk,
} from "./theorem.js";

type Step =
  | Common
  | { do: "come"; timeout: number | undefined; signal: number | undefined }
  | { do: "set" | "clear" | "close" };

const steps = (own: fc.Arbitrary<Step>) =>
  stepsOf(
    fc.oneof(
      { weight: 6, arbitrary: common },
      {
        weight: 8,
        arbitrary: fc.record({ do: fc.constant("come" as const), timeout: someTimeout, signal: someSignal }),
      },
      { weight: 2, arbitrary: own },
    ),
  );

interface Waiter {
  readonly call: Call;
  readonly signal: number | undefined;
  readonly until: number;
  expected: Ended | undefined;
}

/** What both have: those who came, and how they go. */
abstract class Meeting extends Run {
  readonly came: Waiter[] = [];
  closed = false;

  abstract wait(options: { timeout?: number; signal?: AbortSignal }): Promise<unknown>;
  /** What somebody who comes now is told at once, if anything. */
  abstract meets(): Ended | undefined;
  abstract act(what: "set" | "clear" | "close"): void;
  abstract numbers(): void;

  waiting(): Waiter[] {
    return this.came.filter(({ expected }) => expected === undefined);
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
    for (const waiter of this.waiting())
      if (waiter.until <= time.now()) waiter.expected = { threw: "TimeoutError" };
    this.answers();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        for (const waiter of this.waiting())
          if (waiter.signal === one.which) waiter.expected = { threw: "aborted" };
        break;
      case "come": {
        const { timeout, signal } = one;
        const call = this.call(this.wait(given({ timeout, ...this.signal(signal) })));
        const until = time.now() + (timeout ?? Number.POSITIVE_INFINITY);
        const isAborted = this.isAborted(signal);
        const waiter: Waiter = { call, signal, until, expected: undefined };
        waiter.expected = isAborted ? { threw: "aborted" } : this.meets();
        if (timeout === 0) waiter.expected ??= { threw: "TimeoutError" };
        this.came.push(waiter);
        break;
      }
      default:
        this.act(one.do);
        if (one.do === "close") {
          this.closed = true;
          for (const waiter of this.waiting()) waiter.expected = { threw: "ClosedError" };
        }
    }
    this.numbers();
  }

  answers(): void {
    this.numbers();
    for (const { call, expected } of this.came) assert.deepEqual(call.ended, expected);
  }
}

class OfEvent extends Meeting {
  readonly event = new Event();
  isSet = false;
  sets = 0;

  wait(options: { timeout?: number; signal?: AbortSignal }): Promise<unknown> {
    return this.event.wait(options);
  }

  meets(): Ended | undefined {
    if (this.isSet) return { gave: undefined };
    return this.closed ? { threw: "ClosedError" } : undefined;
  }

  act(what: "set" | "clear" | "close"): void {
    this.event[what]();
    if (what === "close") return;
    if (what === "set" && !this.isSet) this.sets += 1;
    this.isSet = what === "set";
    if (this.isSet) for (const waiter of this.waiting()) waiter.expected = { gave: undefined };
  }

  numbers(): void {
    const { name: _, ...numbers } = this.event.metrics();
    assert.deepEqual(numbers, { set: this.isSet, waiting: this.waiting().length, sets: this.sets });
  }
}

class OfBarrier extends Meeting {
  readonly barrier: Barrier;
  rounds = 0;

  constructor(readonly parties: number) {
    super();
    this.barrier = new Barrier(parties);
  }

  wait(options: { timeout?: number; signal?: AbortSignal }): Promise<unknown> {
    return this.barrier.arrive(options);
  }

  meets(): Ended | undefined {
    if (this.closed) return { threw: "ClosedError" };
    const others = this.waiting();
    if (others.length + 1 < this.parties) return undefined;
    this.rounds += 1;
    for (const other of others) other.expected = { gave: false };
    return { gave: true };
  }

  act(what: "set" | "clear" | "close"): void {
    if (what === "close") this.barrier.close();
  }

  numbers(): void {
    const { waiting, rounds } = this.barrier.metrics();
    assert.deepEqual([waiting, rounds], [this.waiting().length, this.rounds]);
  }
}

async function meet(meeting: Meeting, steps: readonly Step[]): Promise<void> {
  await walk(meeting, [...steps, { do: "close" }, { do: "turn" }]);
  meeting.end();
}

test("everybody passes an event as the model says, whatever is aborted, timed out, cleared and closed", async () => {
  const own = fc.constantFrom<Step>({ do: "set" }, { do: "set" }, { do: "clear" }, { do: "close" });
  await holds(400, steps(own), (steps) => meet(new OfEvent(), steps));
});

test("a barrier lets as many pass as it takes, whatever is aborted, timed out and closed", async () => {
  const given = fc.record({
    parties: fc.integer({ min: 1, max: 4 }),
    steps: steps(fc.constant<Step>({ do: "close" })).map((all) =>
      // Most are never closed before the end.
      all.length % 2 === 0 ? all : all.filter(({ do: what }) => what !== "close"),
    ),
  });
  await holds(400, given, ({ parties, steps }) => meet(new OfBarrier(parties), steps));
});
