/**
 * Channels and `select` against an exact model, with the real wasm: whatever is sent, received, aborted, timed out and closed
 * in whatever order, each call ends as the model says, in the tick in which it says so.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Channel, select } from "tidegate";
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

interface Wait {
  readonly timeout: number | undefined;
  readonly signal: number | undefined;
}

type Side = "send" | "receive";

type Step =
  | Common
  | { do: Side; channel: number; wait: Wait }
  | { do: "trySend" | "tryReceive" | "close"; channel: number }
  | { do: "select"; sides: readonly [Side, Side]; first: number; wait: Wait };

const wait: fc.Arbitrary<Wait> = fc.record({ timeout: someTimeout, signal: someSignal });
const channel = fc.nat(1);
const side = fc.constantFrom<Side>("send", "receive");

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: common },
  { weight: 8, arbitrary: fc.record({ do: side, channel, wait }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("trySend" as const, "tryReceive" as const), channel }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("select" as const),
      sides: fc.tuple(side, side),
      first: channel,
      wait,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("close" as const), channel }) },
);

/** Somebody who waits, at one channel or at both. */
interface Asked {
  readonly call: Call;
  readonly signal: number | undefined;
  readonly until: number;
  expected: Ended | undefined;
}

/** One place of it in the line of a channel. */
interface Place {
  readonly asked: Asked;
  readonly value: number;
  /** What it gives when it is served; a select says more. */
  readonly gives: (value: number | undefined, closed: boolean) => Ended;
}

/** A channel as it should be. */
class Line {
  buffer: number[] = [];
  senders: Place[] = [];
  receivers: Place[] = [];
  sent = 0;
  received = 0;
  closed = false;

  constructor(readonly capacity: number) {}

  /** Sends if it can be done or refused now. */
  send(value: number): "done" | "closed" | "must wait" {
    if (this.closed) return "closed";
    const [receiver] = this.receivers;
    if (receiver === undefined && this.buffer.length >= this.capacity) return "must wait";
    this.sent += 1;
    if (receiver === undefined) this.buffer.push(value);
    else {
      this.received += 1;
      receiver.asked.expected = receiver.gives(value, false);
    }
    return "done";
  }

  receive(): { value: number } | "closed" | "must wait" {
    const [sender] = this.senders;
    const [oldest] = this.buffer;
    if (oldest === undefined && sender === undefined) return this.closed ? "closed" : "must wait";
    this.received += 1;
    if (sender !== undefined) {
      this.sent += 1;
      this.buffer.push(sender.value);
      sender.asked.expected = sender.gives(undefined, false);
    }
    return { value: this.buffer.shift() as number };
  }

  close(): void {
    this.closed = true;
    for (const place of [...this.senders, ...this.receivers])
      place.asked.expected ??= place.gives(undefined, true);
  }

  /** Those who have been answered leave. */
  sweep(): void {
    this.senders = this.senders.filter(({ asked }) => asked.expected === undefined);
    this.receivers = this.receivers.filter(({ asked }) => asked.expected === undefined);
  }
}

class Model extends Run {
  readonly channels: readonly Channel<number>[];
  readonly lines: readonly Line[];
  readonly asked: Asked[] = [];
  #values = 0;

  constructor(capacities: readonly number[]) {
    super();
    this.channels = capacities.map((capacity) => new Channel<number>(capacity));
    this.lines = capacities.map((capacity) => new Line(capacity));
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
    for (const asked of this.asked)
      if (asked.until <= time.now()) asked.expected ??= { threw: "TimeoutError" };
    this.sweep();
    this.answers();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        for (const asked of this.asked)
          if (asked.signal === one.which) asked.expected ??= { threw: "aborted" };
        break;
      case "close":
        this.channels[one.channel]?.close();
        this.lines[one.channel]?.close();
        break;
      case "trySend": {
        this.#values += 1;
        const value = this.#values;
        const answer = this.lines[one.channel]?.send(value);
        const attempt = () => this.channels[one.channel]?.trySend(value);
        if (answer === "closed") assert.throws(attempt, { name: "ClosedError" });
        else assert.equal(attempt(), answer === "done");
        break;
      }
      case "tryReceive": {
        const answer = this.lines[one.channel]?.receive();
        const value = typeof answer === "object" ? answer.value : undefined;
        assert.equal(this.channels[one.channel]?.tryReceive(), value);
        break;
      }
      case "send":
      case "receive":
        this.ask([one.channel], [one.do], one.wait);
        break;
      case "select":
        this.ask([one.first, 1 - one.first], one.sides, one.wait);
    }
    this.sweep();
    this.numbers();
  }

  ask(at: readonly number[], sides: readonly Side[], { timeout, signal }: Wait): void {
    const options = given({ timeout, ...this.signal(signal) });
    const values = at.map(() => {
      this.#values += 1;
      return this.#values;
    });
    const [channel, value] = [this.channels[at[0] as number] as Channel<number>, values[0] as number];
    const selects = at.length > 1;
    const cases = at.map((number, index) => {
      const channel = this.channels[number] as Channel<number>;
      return sides[index] === "send"
        ? { send: channel, value: values[index] as number }
        : { receive: channel };
    });
    const promise: Promise<unknown> = selects
      ? select(cases, options)
      : sides[0] === "send"
        ? channel.send(value, options)
        : channel.receive(options);
    const until = timeout === undefined ? Number.POSITIVE_INFINITY : time.now() + timeout;
    const asked: Asked = { call: this.call(promise), signal, until, expected: undefined };
    this.asked.push(asked);
    if (this.isAborted(signal)) {
      asked.expected = { threw: "aborted" };
      return;
    }
    const places = at.map((number, index): [Line, Side, Place] => {
      const sends = sides[index] === "send";
      const gives = (value: number | undefined, closed: boolean): Ended => {
        if (selects) return { gave: { index, value, closed } };
        return closed && sends ? { threw: "ClosedError" } : { gave: value };
      };
      const place = { asked, value: values[index] as number, gives };
      return [this.lines[number] as Line, sends ? "send" : "receive", place];
    });
    for (const [line, side, place] of places) {
      const answer = side === "send" ? line.send(place.value) : line.receive();
      if (answer === "must wait") continue;
      const value = typeof answer === "object" ? answer.value : undefined;
      asked.expected = place.gives(value, answer === "closed");
      return;
    }
    if (timeout === 0) asked.expected = { threw: "TimeoutError" };
    else
      for (const [line, side, place] of places) (side === "send" ? line.senders : line.receivers).push(place);
  }

  sweep(): void {
    for (const line of this.lines) line.sweep();
  }

  /** In the same tick the numbers are right. */
  numbers(): void {
    for (const [number, line] of this.lines.entries()) {
      const { name: _, ...numbers } = (this.channels[number] as Channel<number>).metrics();
      assert.deepEqual(numbers, {
        capacity: line.capacity,
        size: line.buffer.length,
        waitingToSend: line.senders.length,
        waitingToReceive: line.receivers.length,
        sent: line.sent,
        received: line.received,
        closed: line.closed,
      });
    }
  }

  /** A turn later everybody knows what the model says, and nobody more. */
  answers(): void {
    this.numbers();
    for (const { call, expected } of this.asked) assert.deepEqual(call.ended, expected);
  }
}

test("values pass as the model of channels says, whatever is aborted, timed out and closed", async () => {
  const capacities = fc.tuple(fc.nat(2), fc.nat(2));
  const steps = stepsOf(step);
  await holds(500, fc.record({ capacities, steps }), async ({ capacities, steps }) => {
    const model = new Model(capacities);
    const ending: Step[] = [{ do: "close", channel: 0 }, { do: "close", channel: 1 }, { do: "turn" }];
    await walk(model, [...steps, ...ending]);
    model.end();
  });
});
