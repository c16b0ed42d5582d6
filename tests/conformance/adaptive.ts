/**
 * Limits that find themselves: each algorithm, each trap that other limiters fell into, and every rule of the threshold scaler.
 */

import { AdaptiveLimit, type AdaptiveOptions, type Strategy } from "tidegate";
import { numbers } from "./numbers.js";
import { assert, test, thrown, turn } from "./registry.js";
import { until } from "./waiting.js";

type Algorithm = AdaptiveOptions["algorithm"];
const SEEKING: readonly Algorithm[] = ["aimd", "gradient", "vegas"];
const MEASURING: readonly Algorithm[] = ["gradient", "vegas"];

/** A target that serves `capacity` calls at once, each in `base` milliseconds, and lets the others wait their turn. */
interface Target {
  capacity: number;
  base?: number;
  /** What a latency is multiplied with. */
  spread?: () => number;
}

/** Round trips in which `demand` calls would like to run, as many as the limit allows do. The least and the most it was. */
function run(limit: AdaptiveLimit, target: Target, trips: number, demand = Number.POSITIVE_INFINITY) {
  const { capacity, base = 100, spread = () => 1 } = target;
  let [least, most] = [Number.POSITIVE_INFINITY, 0];
  for (let trip = 0; trip < trips; trip += 1) {
    const inFlight = Math.min(demand, limit.limit);
    const latency = base * Math.max(1, inFlight / capacity);
    for (let n = 0; n < inFlight; n += 1) limit.sample({ latency: latency * spread(), inFlight, ok: true });
    least = Math.min(least, limit.limit);
    most = Math.max(most, limit.limit);
  }
  return { least, most };
}

/** Waits until the clock has moved, however coarse it is. */
async function clockMoves(): Promise<void> {
  const began = performance.now();
  await until(() => performance.now() > began + 0.05);
}

async function overload(limit: AdaptiveLimit): Promise<void> {
  await clockMoves();
  limit.sample({ latency: 0.002, inFlight: limit.limit, ok: false, dropped: true });
}

test("adaptive: it starts where it is told, or at its minimum, and has a name", () => {
  const limit = new AdaptiveLimit({ algorithm: "gradient", min: 2, max: 100 });
  assert.deepEqual(limit.metrics(), { name: "adaptive", limit: 2, min: 2, max: 100, ups: 0, downs: 0 });
  const named = new AdaptiveLimit({ algorithm: "vegas", min: 2, max: 100, initial: 10, name: "seeker" });
  assert.deepEqual([named.name, named.limit], ["seeker", 10]);
});

test("adaptive aimd: one more a round trip, a tenth less when a call is dropped, told each time", async () => {
  const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 100, initial: 10 });
  const told: unknown[] = [];
  const off = limit.on("scale", (change) => told.push(change));
  assert.equal(run(limit, { capacity: 1000 }, 1).most, 10);
  assert.equal(run(limit, { capacity: 1000 }, 1).most, 11);
  await overload(limit);
  assert.equal(limit.limit, 10, "a tenth less than the 11.9 that it had come to");
  off();
  run(limit, { capacity: 1000 }, 2);
  assert.deepEqual(told, [
    { from: 10, to: 11 },
    { from: 11, to: 10 },
  ]);
  assert.include(limit.metrics(), { ups: 3, downs: 1 });
});

test("adaptive aimd: one overload is one decrease, however many calls it drops", async () => {
  const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 100, initial: 100 });
  await clockMoves();
  for (let n = 0; n < 50; n += 1) limit.sample({ latency: 60_000, inFlight: 100, ok: false, dropped: true });
  assert.equal(limit.limit, 90);
});

test("adaptive aimd: a call slower than its target is overload, and the factor is what is left", async () => {
  const options = { algorithm: "aimd", min: 1, max: 100, initial: 40, target: 150, factor: 0.5 } as const;
  const limit = new AdaptiveLimit(options);
  await clockMoves();
  assert.equal(limit.sample({ latency: 150, inFlight: 40, ok: true }), 40);
  assert.equal(limit.sample({ latency: 151, inFlight: 40, ok: true }), 20);
});

test("adaptive gradient and vegas: they find what a target that slows down can take", () => {
  for (const algorithm of MEASURING) {
    for (const capacity of [5, 20]) {
      const limit = new AdaptiveLimit({ algorithm, min: 1, max: 500 });
      run(limit, { capacity }, 1200);
      const { least, most } = run(limit, { capacity }, 200);
      assert.isAtLeast(least, capacity * 0.8, `${algorithm} ${capacity}`);
      assert.isAtMost(most, capacity * 2 + 10, `${algorithm} ${capacity}`);
    }
  }
});

test("adaptive trap, app-limited samples: calls that the limit did not hold back do not raise it", () => {
  for (const algorithm of SEEKING) {
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 1000, initial: 20 });
    assert.deepEqual(run(limit, { capacity: 1000 }, 500, 10), { least: 20, most: 20 }, algorithm);
  }
});

test("adaptive trap, baseline drift: load that lasts does not become latency at rest", () => {
  for (const algorithm of MEASURING) {
    const random = numbers(7);
    const target = { capacity: 20, spread: () => 0.5 + random() };
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 10_000 });
    run(limit, target, 1000);
    assert.isAtMost(run(limit, target, 3000).most, 50, algorithm);
  }
});

test("adaptive trap, wide spread: calls of very different length are not taken for overload", () => {
  for (const algorithm of MEASURING) {
    const random = numbers(7);
    const target = { capacity: 1000, spread: () => (random() < 0.9 ? 0.01 : 1) };
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 60 });
    run(limit, target, 2000);
    assert.isAtLeast(run(limit, target, 500).least, 30, algorithm);
  }
});

test("adaptive trap, stuck at one: after an overload it grows again, also where nothing seems in flight", async () => {
  for (const algorithm of SEEKING) {
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 100, initial: 5 });
    for (let n = 0; n < 6; n += 1) await overload(limit);
    assert.equal(limit.limit, 1, algorithm);
    for (let n = 0; n < 100; n += 1) limit.sample({ latency: 100, inFlight: 0, ok: true });
    assert.isAbove(limit.limit, 1, algorithm);
    run(limit, { capacity: 1000 }, 1500);
    assert.isAtLeast(limit.limit, 40, algorithm);
  }
});

test("adaptive trap, probes: nobody is turned away to measure the latency at rest", () => {
  for (const algorithm of MEASURING) {
    const random = numbers(7);
    const target = { capacity: 100, spread: () => 0.5 + random() };
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 40 });
    run(limit, target, 500);
    assert.equal(run(limit, target, 2000).least, 40, algorithm);
  }
});

test("adaptive trap, zero latencies: what a clock that stands still measures moves nothing", async () => {
  for (const algorithm of [...SEEKING, "threshold"] as const) {
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 100, initial: 20, interval: 0 });
    for (const ok of [true, false]) {
      await clockMoves();
      for (let n = 0; n < 500; n += 1) limit.sample({ latency: 0, inFlight: 20, ok, dropped: !ok });
    }
    assert.include(limit.metrics(), { limit: 20, ups: 0, downs: 0 }, algorithm);
  }
});

test("adaptive: a call that failed, but not because of load, says nothing", () => {
  for (const algorithm of SEEKING) {
    const limit = new AdaptiveLimit({ algorithm, min: 1, max: 100, initial: 20 });
    for (let n = 0; n < 500; n += 1) limit.sample({ latency: 5, inFlight: 20, ok: false });
    assert.equal(limit.limit, 20, algorithm);
  }
});

/** Ten slots and a queue of ten, from 2 to 40 slots, a target of 100 ms, and no least time between changes. */
function scaler(options: Partial<AdaptiveOptions> = {}): AdaptiveLimit {
  return new AdaptiveLimit({
    algorithm: "threshold",
    min: 2,
    max: 40,
    initial: 10,
    target: 100,
    interval: 0,
    ...options,
  });
}

function load(limit: AdaptiveLimit, inFlight: number, queued: number, latency: number): number {
  return limit.sample({ latency, inFlight, ok: true, queued, queueCapacity: 10 });
}

test("adaptive threshold: up above 80 % load, or above twice the target response time whatever the load", () => {
  assert.equal(load(scaler(), 10, 6, 150), 10, "16 of 20 are not above");
  assert.equal(load(scaler(), 10, 7, 150), 15);
  assert.equal(load(scaler(), 1, 0, 200), 10);
  assert.equal(load(scaler(), 1, 0, 201), 15);
});

test("adaptive threshold: down below 30 % load and below the target, and not with one of them alone", () => {
  assert.equal(load(scaler(), 5, 0, 99), 6);
  assert.equal(load(scaler(), 6, 0, 99), 10, "6 of 20 are not below");
  assert.equal(load(scaler(), 5, 0, 100), 10, "100 ms are not below");
});

test("adaptive threshold: within its bounds, and changes are counted", () => {
  const limit = scaler();
  for (let n = 0; n < 20; n += 1) load(limit, 40, 10, 150);
  assert.include(limit.metrics(), { limit: 40, ups: 4, downs: 0 });
  for (let n = 0; n < 20; n += 1) load(limit, 1, 0, 1);
  assert.include(limit.metrics(), { limit: 2, ups: 4, downs: 6 });
});

test("adaptive threshold: no two changes within the interval", async () => {
  const limit = scaler({ interval: 20 });
  const began = performance.now();
  load(limit, 40, 10, 150);
  assert.equal(limit.limit, 10, "the first one waits too");
  while (limit.limit === 10) {
    await turn();
    load(limit, 40, 10, 150);
  }
  assert.isAtLeast(performance.now() - began, 19);
});

test("adaptive threshold: factor and thresholds can be set, and a queue without end counts against the slots alone", () => {
  const limit = scaler({ factor: 2, upAbove: 0.5, downBelow: 0.2 });
  assert.equal(limit.sample({ latency: 1, inFlight: 6, ok: true }), 20);
  assert.equal(limit.sample({ latency: 1, inFlight: 4, ok: true }), 20, "4 of 20 are not below 20 %");
  const other = scaler();
  assert.equal(other.sample({ latency: 150, inFlight: 8, ok: true, queued: 1 }), 15, "9 of 10");
});

test("adaptive strategies: cores bound the limit, and under pressure it is conservative until that is over", () => {
  let pressed = false;
  const asked: Strategy[] = [];
  const pressure = {
    shouldThrottle: () => pressed,
    concurrency: (strategy: Strategy) => {
      asked.push(strategy);
      return pressed || strategy === "conservative" ? 2 : 8;
    },
  };
  const options = { algorithm: "aimd", min: 1, max: 100, initial: 50, pressure } as const;
  const limit = new AdaptiveLimit(options);
  const call = { latency: 5, inFlight: 1, ok: true } as const;
  assert.equal(limit.sample(call), 50);
  pressed = true;
  assert.equal(limit.sample(call), 2);
  pressed = false;
  assert.equal(limit.sample(call), 50, "what it had found is not forgotten");
  const local = new AdaptiveLimit({ ...options, strategy: "aggressive" });
  assert.equal(local.sample(call), 8);
  pressed = true;
  assert.equal(local.sample(call), 2);
  assert.equal(new AdaptiveLimit({ ...options, min: 5 }).sample(call), 5, "never below its minimum");
  assert.deepEqual([...new Set(asked)], ["conservative", "aggressive"]);
});

test("adaptive strategies: without a monitor the cores that this host says it has", () => {
  const cores =
    (globalThis.navigator as { hardwareConcurrency?: number } | undefined)?.hardwareConcurrency || 4;
  const limit = (strategy: Strategy) =>
    new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 10_000, initial: 10_000, strategy }).limit;
  assert.equal(limit("conservative"), Math.max(1, Math.floor(cores / 2)));
  assert.equal(limit("balanced"), cores);
  assert.equal(limit("aggressive"), Math.min(2 * cores, 8));
});

test("adaptive: done with, it stays where it is", () => {
  let kept: AdaptiveLimit;
  {
    using limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 100, initial: 10 });
    run(limit, { capacity: 1000 }, 5);
    kept = limit;
  }
  const at = kept.limit;
  assert.isAbove(at, 10);
  run(kept, { capacity: 1000 }, 50);
  assert.equal(kept.limit, at);
});

test("adaptive: options and samples that cannot work are refused in a sentence", () => {
  const options = { algorithm: "aimd", min: 2, max: 10 } as const;
  const limit = new AdaptiveLimit(options);
  const messages = [
    () => new AdaptiveLimit(undefined as never),
    () => new AdaptiveLimit({ ...options, algorithm: "magic" as never }),
    () => new AdaptiveLimit({ ...options, min: 0 }),
    () => new AdaptiveLimit({ ...options, max: 1 }),
    () => new AdaptiveLimit({ ...options, initial: 11 }),
    () => new AdaptiveLimit({ ...options, interval: -1 }),
    () => new AdaptiveLimit({ ...options, target: 0 }),
    () => new AdaptiveLimit({ ...options, upAbove: Number.NaN }),
    () => new AdaptiveLimit({ ...options, downBelow: 0.9 }),
    () => new AdaptiveLimit({ ...options, factor: 1 }),
    () => new AdaptiveLimit({ ...options, strategy: "bold" as never }),
    () => new AdaptiveLimit({ ...options, pressure: {} as never }),
    () => limit.sample(undefined as never),
    () => limit.sample({ latency: -1, inFlight: 1, ok: true }),
    () => limit.sample({ latency: 1, inFlight: 1.5, ok: true }),
    () => limit.sample({ latency: 1, inFlight: 1, ok: 1 as never }),
    () => limit.sample({ latency: 1, inFlight: 1, ok: true, queued: -1 }),
  ].map((call) => (thrown(call) as Error).message.replace("Expected ", ""));
  assert.deepEqual(messages, [
    "`options` to be an object, got `undefined`",
    "`algorithm` to be `aimd`, `gradient`, `vegas`, `threshold`, got `magic` (string)",
    "`min` to be an integer ≥ 1, got `0` (number)",
    "`max` to be an integer ≥ 2, got `1` (number)",
    "`initial` to be an integer from 2 to 10, got `11` (number)",
    "`interval` to be a number ≥ 0, got `-1` (number)",
    "`target` to be a number ≥ 0.001, got `0` (number)",
    "`upAbove` to be a number from 0.001 to 1000, got `NaN` (number)",
    "`downBelow` to be a number from 0 to 0.8, got `0.9` (number)",
    "`factor` to be other than 1, got `1` (number)",
    "`strategy` to be `conservative`, `balanced`, `aggressive`, got `bold` (string)",
    "`pressure.concurrency` to be a function, got `undefined`",
    "`sample` to be an object, got `undefined`",
    "`latency` to be a number of milliseconds ≥ 0, got `-1` (number)",
    "`inFlight` to be an integer ≥ 0, got `1.5` (number)",
    "`ok` to be a boolean, got `1` (number)",
    "`queued` to be an integer ≥ 0, got `-1` (number)",
  ]);
});
