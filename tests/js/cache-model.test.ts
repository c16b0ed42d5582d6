/**
 * Loads of a cache against an exact model, with the real wasm: which loader is called when, who is told what, and what is kept,
 * whatever is written, invalidated, aborted and too late meanwhile.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cache, type LoadContext } from "tidegate";
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
  stepsOf,
  time,
  walk,
} from "./theorem.js";

const KEYS = ["x", "y"] as const;
type Key = (typeof KEYS)[number];

type Step =
  | Common
  | { do: "load"; key: Key; tagged: boolean; signal: number | undefined }
  | { do: "bring" | "fail"; which: number }
  | { do: "set"; key: Key; tagged: boolean }
  | { do: "delete" | "invalidate"; key: Key }
  | { do: "invalidateBy" | "clear" };

const key = fc.constantFrom(...KEYS);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: common },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant("load" as const),
      key,
      tagged: fc.boolean(),
      signal: someSignal,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom("bring" as const, "fail" as const), which: fc.nat() }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("set" as const), key, tagged: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom("delete" as const, "invalidate" as const), key }),
  },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ do: "invalidateBy" }, { do: "clear" }) },
);

const options = fc.record({
  ttl: fc.integer({ min: 2, max: 6 }),
  negativeTtl: fc.constantFrom(0, 0, 3),
  loadTimeout: fc.constantFrom(undefined, undefined, 3),
});
type Options = typeof options extends fc.Arbitrary<infer O> ? O : never;

/** One caller of `load`. */
interface Caller {
  readonly call: Call;
  readonly key: Key;
  readonly tagged: boolean;
  readonly signal: number | undefined;
  expected: Ended | undefined;
  /** What its loader was called with, once it was. */
  context?: LoadContext;
  settle?: (good: boolean) => void;
  given?: string;
  gaveUp: boolean;
}

interface Flight {
  readonly key: Key;
  readonly began: number;
  counts: boolean;
  pilot: Caller;
  waiters: Caller[];
  until: number;
}

interface Entry {
  readonly outcome: Ended;
  readonly until: number;
  readonly tagged: boolean;
}

class Model extends Run {
  readonly cache: Cache<string>;
  readonly callers: Caller[] = [];
  readonly entries = new Map<Key, Entry>();
  flights: Flight[] = [];
  /** What loaders brought, until promises have settled. */
  brought: { caller: Caller; good: boolean }[] = [];
  /** How many loads began, and how many loaders were called: one that is handed on calls several. */
  loads = 0;
  called = 0;
  #moments = 0;
  #untagged = -1;

  constructor(readonly options: Options) {
    super();
    this.cache = new Cache<string>(given(options));
  }

  async pause(one: Pause): Promise<void> {
    this.land();
    await time.turn();
    for (let ms = one.do === "pass" ? one.ms : 0; ms > 0; ms -= 1) {
      await time.pass(1);
      this.later();
    }
    this.answers();
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        for (const caller of this.callers)
          if (caller.signal === one.which && caller.expected === undefined) this.leave(caller, "aborted");
        break;
      case "load":
        this.load(one);
        break;
      case "bring":
      case "fail": {
        const running = this.callers.filter(
          ({ settle, given }) => settle !== undefined && given === undefined,
        );
        const caller = running[one.which % Math.max(1, running.length)];
        if (caller === undefined) break;
        caller.given = one.do;
        caller.settle?.(one.do === "bring");
        this.brought.push({ caller, good: one.do === "bring" });
        break;
      }
      case "set":
        this.cache.set(one.key, "set", one.tagged ? { dependsOn: ["tag"] } : {});
        this.detach(one.key);
        this.keep(one.key, { gave: "set" }, this.options.ttl, one.tagged);
        break;
      case "delete":
        this.cache.delete(one.key);
        this.detach(one.key);
        this.entries.delete(one.key);
        break;
      case "invalidate":
        this.cache.invalidate(one.key);
        this.detach(one.key);
        this.entries.delete(one.key);
        break;
      case "invalidateBy":
        this.cache.invalidateBy("tag");
        this.#moments += 1;
        this.#untagged = this.#moments;
        for (const [key, { tagged }] of this.entries) if (tagged) this.entries.delete(key);
        break;
      case "clear":
        this.cache.clear();
        this.entries.clear();
        for (const key of KEYS) this.detach(key);
    }
    this.look();
  }

  load({ key, tagged, signal }: { key: Key; tagged: boolean; signal: number | undefined }): void {
    const number = this.callers.length;
    const asked: Omit<Caller, "call"> = { key, tagged, signal, expected: undefined, gaveUp: false };
    const loader = (context: LoadContext) => {
      this.called += 1;
      asked.context = context;
      return new Promise<string>((resolve, reject) => {
        asked.settle = (good) => (good ? resolve(`of ${number}`) : reject(new Error("refused")));
      });
    };
    const options = { ...(tagged && { dependsOn: ["tag"] }), ...this.signal(signal) };
    // Its loader may be called before `load` has given its promise.
    const caller: Caller = Object.assign(asked, { call: this.call(this.cache.load(key, loader, options)) });
    this.callers.push(caller);
    const entry = this.entries.get(key);
    if (this.isAborted(signal)) caller.expected = { threw: "aborted" };
    else if (entry !== undefined) caller.expected = entry.outcome;
    else {
      const flight = this.flights.find((flight) => flight.key === key && flight.counts);
      if (flight !== undefined) flight.waiters.push(caller);
      else {
        this.#moments += 1;
        this.loads += 1;
        const until = time.now() + (this.options.loadTimeout ?? Number.POSITIVE_INFINITY);
        this.flights.push({ key, began: this.#moments, counts: true, pilot: caller, waiters: [], until });
      }
    }
  }

  /** Somebody gives up; who loads hands on to the one who has waited longest. */
  leave(caller: Caller, why: string): void {
    caller.expected = { threw: why };
    for (const flight of this.flights) {
      flight.waiters = flight.waiters.filter((waiter) => waiter !== caller);
      if (flight.pilot !== caller) continue;
      caller.gaveUp = true;
      const next = flight.waiters.shift();
      if (next === undefined) this.flights = this.flights.filter((other) => other !== flight);
      else {
        flight.pilot = next;
        flight.until = time.now() + (this.options.loadTimeout ?? Number.POSITIVE_INFINITY);
      }
    }
  }

  /** Promises settle: what was brought lands, in the order in which it was. */
  land(): void {
    for (const { caller, good } of this.brought.splice(0)) {
      const flight = this.flights.find(({ pilot }) => pilot === caller);
      if (flight === undefined) continue;
      this.flights = this.flights.filter((other) => other !== flight);
      const outcome: Ended = good ? { gave: `of ${this.callers.indexOf(caller)}` } : { threw: "refused" };
      for (const each of [caller, ...flight.waiters]) each.expected = outcome;
      const outdated = caller.tagged && this.#untagged > flight.began;
      if (good && flight.counts && !outdated) this.keep(flight.key, outcome, this.options.ttl, caller.tagged);
      if (!good && flight.counts && this.options.negativeTtl > 0)
        this.keep(flight.key, outcome, this.options.negativeTtl, false);
    }
  }

  /** Time has passed. */
  later(): void {
    for (const [key, { until }] of this.entries) if (until <= time.now()) this.entries.delete(key);
    for (const { pilot, until } of [...this.flights])
      if (until <= time.now()) this.leave(pilot, "TimeoutError");
  }

  keep(key: Key, outcome: Ended, ttl: number, tagged: boolean): void {
    this.entries.set(key, { outcome, until: time.now() + ttl, tagged });
  }

  detach(key: Key): void {
    for (const flight of this.flights) if (flight.key === key) flight.counts = false;
  }

  /** In the same tick it holds what it should, and those load who should. */
  look(): void {
    assert.equal(this.cache.size, this.entries.size);
    for (const key of KEYS) {
      const outcome = this.entries.get(key)?.outcome;
      assert.equal(
        this.cache.peek(key),
        outcome !== undefined && "gave" in outcome ? outcome.gave : undefined,
      );
    }
    assert.equal(this.cache.metrics().loads, this.loads);
    const pilots = new Set(this.flights.map(({ pilot }) => pilot));
    for (const caller of this.callers) {
      assert.ok(
        !pilots.has(caller) || caller.context !== undefined,
        "whose turn it is has its loader called",
      );
      assert.equal(
        caller.context?.signal.aborted ?? false,
        caller.gaveUp,
        "a loader is told when nobody wants it",
      );
    }
    const loaders = this.callers.filter(({ context }) => context !== undefined).length;
    assert.equal(loaders, this.called, "nobody's loader is called twice");
  }

  answers(): void {
    this.look();
    for (const { call, expected } of this.callers) assert.deepEqual(call.ended, expected);
  }
}

test("loads are shared, handed on and kept as the model of a cache says, whatever happens meanwhile", async () => {
  const steps = stepsOf(step);
  await holds(500, fc.record({ options, steps }), async ({ options, steps }) => {
    const model = new Model(options);
    await walk(model, [...steps, { do: "turn" }]);
    while (model.flights.length > 0) await walk<Step>(model, [{ do: "bring", which: 0 }, { do: "turn" }]);
    model.take({ do: "clear" });
    model.end();
  });
});
