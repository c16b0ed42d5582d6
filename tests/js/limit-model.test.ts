/**
 * Limits that find themselves, and the pressure that holds them down, against exact models with the real wasm: what is measured
 * when, which level holds, and what the limit is after every sample.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { AdaptiveLimit, type PressureLevel, PressureMonitor, type PressureReading } from "tidegate";
import { type Options, type Rule, ruleOf } from "./limit-rules.js";
import { holds, type Pause, Run, stepsOf, time, walk } from "./theorem.js";

// Intervals of the time that is moved by hand.
globalThis.setInterval = ((fn: () => void, ms: number) => {
  const interval = { timer: setTimeout(tick, ms) };
  function tick() {
    interval.timer = setTimeout(tick, ms);
    fn();
  }
  return interval;
}) as unknown as typeof setInterval;
globalThis.clearInterval = ((interval: { timer: ReturnType<typeof setTimeout> } | undefined) => {
  clearTimeout(interval?.timer);
}) as unknown as typeof clearInterval;

const pause: fc.Arbitrary<Pause> = fc.oneof(
  fc.constant({ do: "turn" as const }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 40 }) }),
  // Longer than a monitor measures for nobody.
  fc.record({ do: fc.constant("pass" as const), ms: fc.integer({ min: 590, max: 640 }) }),
);

type Look = Pause | { readonly do: "ask" | "sample" } | { readonly do: "read"; readonly reading: Seen };

/** What the one source says, or that it throws. */
type Seen = PressureReading | "throws";

const share = fc.constantFrom(undefined, 0, 0.3, 0.58, 0.7, 0.83, 0.87, 0.92, 1);
const LEVELS: readonly PressureLevel[] = ["unknown", "nominal", "fair", "serious", "critical"];

const look: fc.Arbitrary<Look> = fc.oneof(
  { weight: 4, arbitrary: pause },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("ask" as const, "sample" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      reading: fc.oneof(
        {
          weight: 9,
          arbitrary: fc
            .record({
              lag: fc.constantFrom(undefined, 0, 10, 60, 140, 300, 600),
              memory: share,
              heap: share,
              level: fc.constantFrom(undefined, undefined, undefined, ...LEVELS),
            })
            .map((reading) => JSON.parse(JSON.stringify(reading)) as PressureReading),
        },
        { weight: 1, arbitrary: fc.constant("throws" as const) },
      ),
    }),
  },
);

const INTERVAL = 10;
/** A monitor that nobody asks rests after so many intervals. */
const RESTS_AFTER = 60;

class Pressed extends Run {
  #reading: Seen = {};
  readonly #monitor = new PressureMonitor({
    interval: INTERVAL,
    sources: [{ name: "model", read: () => this.#read() }],
  });
  #level = 0;
  #calm = 0;
  #lagMoves = false;
  #isFull = { memory: false, heap: false };
  #counts = { samples: 0, changes: 0, alerts: 0 };
  #history: PressureLevel[] = [];
  #askedAt = 0;
  #dueAt = Number.NEGATIVE_INFINITY;
  #ticksAt: number | undefined;

  take(one: Exclude<Look, Pause>): void {
    if (one.do === "read") this.#reading = one.reading;
    else if (one.do === "sample") {
      this.#begin();
      this.#take();
      assert.equal(this.#monitor.sample().level, LEVELS[this.#level]);
    } else {
      this.#ask();
      assert.equal(this.#monitor.shouldThrottle(), this.#level >= 3);
      assert.equal(this.#monitor.level, LEVELS[this.#level]);
    }
    this.#agree();
  }

  async pause(one: Pause): Promise<void> {
    const until = time.now() + (one.do === "pass" ? one.ms : 0);
    while (this.#ticksAt !== undefined && this.#ticksAt <= until) {
      const at = this.#ticksAt;
      this.#ticksAt = at + INTERVAL;
      if (at - this.#askedAt > RESTS_AFTER * INTERVAL) this.#ticksAt = undefined;
      else if (at >= this.#dueAt - INTERVAL / 2) this.#take(at);
    }
    await time.pause(one);
    this.#agree();
  }

  over(): void {
    this.#ask();
    assert.deepEqual(
      this.#monitor.history.map(({ level }) => level),
      this.#history.slice(-100),
    );
    assert.equal(this.#monitor.alerts.length, Math.min(100, this.#counts.alerts));
    this.#monitor[Symbol.dispose]();
    assert.equal(this.#monitor.shouldThrottle(), false);
    this.end();
  }

  #read(): PressureReading {
    if (this.#reading === "throws") throw new Error("no reading");
    return this.#reading;
  }

  #ask(): void {
    this.#begin();
    if (time.now() >= this.#dueAt) this.#take();
  }

  #begin(): void {
    this.#askedAt = time.now();
    this.#ticksAt ??= time.now() + INTERVAL;
  }

  #take(at = time.now()): void {
    const { lag, memory, heap, level } = this.#reading === "throws" ? ({} as PressureReading) : this.#reading;
    this.#dueAt = at + INTERVAL;
    this.#counts.samples += 1;
    // A clock that never moved says nothing by a lag of 0.
    this.#lagMoves ||= (lag ?? 0) > 0;
    const busy = lag !== undefined && this.#lagMoves ? lag / (lag + 50) : undefined;
    const shares = [busy, memory || undefined, heap || undefined].filter((one) => one !== undefined);
    const external = level === undefined ? 0 : LEVELS.indexOf(level);
    const above = (margin: number) => Math.max(external, ...shares.map((one) => levelOf(one + margin)));
    const [up, down, from] = [above(0), above(0.05), this.#level];
    if (up > from || up === 0 || from === 0) {
      this.#level = up;
      this.#calm = 0;
    } else if (down < from) {
      this.#calm += 1;
      if (this.#calm === 2) {
        this.#level = down;
        this.#calm = 0;
      }
    } else this.#calm = 0;
    if (this.#level !== from) this.#counts.changes += 1;
    for (const [of, value] of [
      ["memory", memory],
      ["heap", heap],
    ] as const) {
      if (!value) continue;
      const was = this.#isFull[of];
      this.#isFull[of] = value > (was ? 0.85 : 0.9);
      if (!was && this.#isFull[of]) this.#counts.alerts += 1;
    }
    this.#history.push(LEVELS[this.#level] as PressureLevel);
  }

  /** Reading the numbers takes no sample. */
  #agree(): void {
    const { level, samples, changes, alerts } = this.#monitor.metrics();
    assert.deepEqual({ level, samples, changes, alerts }, { level: LEVELS[this.#level], ...this.#counts });
  }
}

function levelOf(share: number): number {
  return [0.6, 0.8, 0.9].filter((bound) => share >= bound).length + 1;
}

test("a monitor measures when it is due, and its level is what the rules make of what it saw", async () => {
  await holds(400, stepsOf(look, 80), async (steps) => {
    const model = new Pressed();
    await walk<Look>(model, steps);
    model.over();
  });
});

type Move =
  | Pause
  | {
      readonly do: "sample";
      readonly latency: number;
      readonly inFlight: number;
      readonly how: "well" | "badly" | "dropped";
      readonly queued: number;
      readonly queueCapacity: number | undefined;
    }
  | { readonly do: "press"; readonly ceiling: number };

const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 2, arbitrary: pause },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constant("sample" as const),
      latency: fc.constantFrom(0, 4, 9, 15, 50),
      inFlight: fc.integer({ min: 0, max: 14 }),
      how: fc.constantFrom(
        "well" as const,
        "well" as const,
        "well" as const,
        "badly" as const,
        "dropped" as const,
      ),
      queued: fc.constantFrom(0, 0, 3),
      queueCapacity: fc.constantFrom(undefined, 0, 8),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("press" as const), ceiling: fc.nat(6) }) },
);

interface Rules extends Options {
  readonly max: number;
}

const MIN_MAX = [
  [1, 12],
  [2, 6],
  [1, 60],
  [3, 3],
] as const;

const rules = (algorithms: readonly Rules["algorithm"][]): fc.Arbitrary<Rules> =>
  fc
    .tuple(
      fc.constantFrom(...algorithms),
      fc.constantFrom(...MIN_MAX),
      fc.constantFrom(undefined, 10),
      fc.constantFrom(undefined, 0.5, 2),
    )
    .map(([algorithm, [min, max], target, factor]) => ({
      algorithm,
      min,
      max,
      target,
      factor,
      interval: algorithm === "threshold" ? 30 : 0,
    }));

class Limited extends Run {
  readonly #rules: Rules;
  readonly #limit: AdaptiveLimit;
  // The pressure on the machine: 0 is none.
  #pressed = 0;
  #ceiling = 0;
  #exact: number;
  readonly #rule: Rule;
  #ups = 0;
  #downs = 0;
  readonly #told: [number, number][] = [];

  constructor(rules: Rules) {
    super();
    this.#rules = rules;
    this.#exact = rules.min;
    this.#rule = ruleOf(rules);
    const { algorithm, min, max, target, factor, interval } = rules;
    this.#limit = new AdaptiveLimit({
      algorithm,
      min,
      max,
      ...(target === undefined ? {} : { target }),
      ...(factor === undefined ? {} : { factor }),
      ...(interval === 0 ? {} : { interval }),
      pressure: { shouldThrottle: () => this.#pressed > 0, concurrency: () => this.#pressed },
    });
    this.#limit.on("scale", ({ from, to }) => this.#told.push([from, to]));
  }

  async pause(one: Pause): Promise<void> {
    await time.pause(one);
  }

  take(one: Exclude<Move, Pause>): void {
    if (one.do === "press") {
      // Heard of with the next sample.
      this.#pressed = one.ceiling;
      return;
    }
    const { latency, inFlight, how, queued, queueCapacity } = one;
    const before = this.#limit.limit;
    const told = this.#told.length;
    const given = this.#limit.sample({
      latency,
      inFlight,
      ok: how === "well",
      dropped: how === "dropped",
      queued,
      ...(queueCapacity === undefined ? {} : { queueCapacity }),
    });
    assert.equal(given, this.#limit.limit);
    const { min, max } = this.#rules;
    const wanted = [before];
    this.#ceiling = this.#pressed;
    wanted.push(this.#whole());
    if (latency > 0 && how !== "badly") {
      // A call that is over was in flight itself.
      const seen = { ...one, inFlight: Math.max(1, inFlight), dropped: how === "dropped" };
      this.#exact = Math.min(max, Math.max(min, this.#rule(time.now(), this.#exact, seen)));
    }
    wanted.push(this.#whole());
    assert.equal(given, wanted[2]);
    const steps = wanted.slice(1).map((to, at): [number, number] => [wanted[at] as number, to]);
    const moved = steps.filter(([from, to]) => from !== to);
    assert.deepEqual(this.#told.slice(told), moved, "each change is told");
    for (const [from, to] of moved) {
      if (to > from) this.#ups += 1;
      else this.#downs += 1;
    }
    const { ups, downs } = this.#limit.metrics();
    assert.deepEqual([ups, downs], [this.#ups, this.#downs]);
  }

  over(): void {
    this.#limit[Symbol.dispose]();
    this.end();
  }

  #whole(): number {
    const whole = Math.floor(this.#exact);
    return Math.max(this.#rules.min, this.#ceiling === 0 ? whole : Math.min(whole, this.#ceiling));
  }
}

/** Rounds of calls that go alike, long enough for a limit to learn how slow they are. */
const rounds: fc.Arbitrary<Move[]> = fc
  .record({
    calls: fc.integer({ min: 1, max: 200 }),
    latency: fc.constantFrom(4, 9, 15, 50, 200),
    inFlight: fc.constantFrom(1, 3, 6, 12, 25, 50, 60),
  })
  .map(({ calls, latency, inFlight }) =>
    Array.from({ length: calls }, (): Move => {
      return { do: "sample", latency, inFlight, how: "well", queued: 0, queueCapacity: undefined };
    }),
  );

const some = stepsOf(move, 120);
const many = fc
  .array(fc.oneof({ weight: 3, arbitrary: rounds }, { weight: 1, arbitrary: stepsOf(move, 10) }), {
    minLength: 1,
    maxLength: 20,
    size: "max",
  })
  .map((all) => all.flat());

for (const [what, algorithms, steps] of [
  ["a limit by losses or by thresholds is what its rule makes of its samples", ["aimd", "threshold"], some],
  ["a limit that learns latencies is what its rule makes of its rounds", ["gradient", "vegas"], many],
] as const)
  test(what, async () => {
    await holds(400, fc.tuple(rules(algorithms), steps), async ([rule, steps]) => {
      const model = new Limited(rule);
      await walk<Move>(model, steps);
      model.over();
    });
  });
