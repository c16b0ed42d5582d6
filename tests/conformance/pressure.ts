/** How hard the host is pressed: levels, what is unknown, the history, alerts, and who is held back by them. */

import {
  AdaptiveLimit,
  batch,
  type PressureAlert,
  PressureMonitor,
  type PressureOptions,
  type PressureReading,
  type PressureSample,
  type PressureSource,
  platformSources,
} from "tidegate";
import { assert, test, thrown, turn } from "./registry.js";
import { until } from "./waiting.js";

const LEVELS = ["unknown", "nominal", "fair", "serious", "critical"];

/** A monitor that is told what there is to measure, sampled only when it is asked to. */
function told(options: PressureOptions = {}) {
  let reading: PressureReading = {};
  const source = { name: "told", read: () => reading };
  const monitor = new PressureMonitor({ interval: 2 ** 31 - 1, sources: [source], ...options });
  return {
    monitor,
    take(next: PressureReading): PressureSample {
      reading = next;
      return monitor.sample();
    },
  };
}

test("pressure: without a source that knows anything it is unknown, and throttles nobody", () => {
  const { monitor, take } = told();
  assert.equal(monitor.level, "unknown");
  assert.isFalse(monitor.shouldThrottle());
  assert.equal(take({}).level, "unknown");
  assert.deepEqual(new PressureMonitor({ sources: [] }).sample().level, "unknown");
});

test("pressure: zeros of a platform that measures nothing, and nonsense, are unknown", () => {
  const { monitor, take } = told();
  const nothing: PressureReading[] = [
    { lag: 0, memory: 0, heap: 0 },
    { lag: Number.NaN, memory: Number.NaN, heap: -1 },
    { level: "unknown" },
    { level: "terrible", heap: "full" } as never,
    undefined as never,
  ];
  for (const reading of nothing) {
    const { at, ...sample } = take(reading);
    assert.deepEqual(sample, { level: "unknown" });
    assert.isAbove(at, 0);
  }
  assert.isFalse(monitor.shouldThrottle());
});

test("pressure: a lag of zero is believed once the clock was seen to move", () => {
  const { take } = told();
  assert.equal(take({ lag: 0 }).busy, undefined);
  assert.equal(take({ lag: 1 }).level, "nominal");
  assert.equal(take({ lag: 0 }).busy, 0);
});

test("pressure: lag maps to busy as documented, and shares to levels", () => {
  for (const [lag, busy, level] of [
    [50, 0.5, "nominal"],
    [76, 76 / 126, "fair"],
    [201, 201 / 251, "serious"],
    [451, 451 / 501, "critical"],
  ] as const) {
    const sample = told().take({ lag });
    assert.closeTo(sample.busy ?? 0, busy, 1e-9);
    assert.equal(sample.level, level);
  }
  for (const [share, level] of [
    [0.59, "nominal"],
    [0.6, "fair"],
    [0.8, "serious"],
    [0.9, "critical"],
    [7, "critical"],
  ] as const) {
    assert.equal(told().take({ memory: share }).level, level);
    assert.equal(told().take({ heap: share }).level, level);
  }
  assert.equal(told().take({ heap: 7 }).heap, 1, "more than all is all");
});

test("pressure: the hardest pressed source decides, also one that gives a level", () => {
  const sources: PressureSource[] = [
    { name: "memory", read: () => ({ memory: 0.1 }) },
    { name: "heap", read: () => ({ heap: 0.85 }) },
    { name: "low", read: () => ({ heap: 0.2, level: "fair" }) },
  ];
  const sample = new PressureMonitor({ sources }).sample();
  assert.include(sample, { level: "serious", memory: 0.1, heap: 0.85 });
  assert.equal(told().take({ heap: 0.1, level: "critical" }).level, "critical");
});

test("pressure: it throttles from serious on", () => {
  const { monitor, take } = told();
  for (const [heap, throttles] of [
    [0.79, false],
    [0.8, true],
    [0.95, true],
  ] as const) {
    take({ heap });
    assert.equal(monitor.shouldThrottle(), throttles);
  }
});

test("pressure: it rises at once, falls after two samples that are clearly below, and tells each change", () => {
  const { monitor, take } = told();
  const changes: unknown[] = [];
  const off = monitor.on("change", ({ from, to }) => changes.push(`${from} ${to}`));
  const levels = [0.5, 0.8, 0.76, 0.76, 0.74, 0.76, 0.74, 0.74].map((heap) => take({ heap }).level);
  assert.deepEqual(levels, [
    "nominal",
    "serious",
    "serious",
    "serious",
    "serious",
    "serious",
    "serious",
    "fair",
  ]);
  assert.deepEqual(changes, ["unknown nominal", "nominal serious", "serious fair"]);
  off();
  take({ heap: 0.99 });
  assert.lengthOf(changes, 3);
  assert.include(monitor.metrics(), { level: "critical", heap: 0.99, samples: 9, changes: 4, alerts: 1 });
});

test("pressure: thresholds can be set", () => {
  const { monitor, take } = told({ fair: 0.1, serious: 0.2, critical: 0.3, alertAbove: 0.25 });
  assert.deepEqual(
    [0.05, 0.1, 0.2, 0.3].map((heap) => take({ heap }).level),
    ["nominal", "fair", "serious", "critical"],
  );
  assert.lengthOf(monitor.alerts, 1);
});

test("pressure: nearly full memory raises one alert each time, and they are remembered", () => {
  const { monitor, take } = told();
  const alerts: PressureAlert[] = [];
  monitor.on("alert", (alert) => alerts.push(alert));
  for (const heap of [0.9, 0.91, 0.95, 0.86, 0.91, 0.84, 0.92]) take({ heap });
  take({ memory: 0.99 });
  assert.deepEqual(
    alerts.map(({ source, share }) => [source, share]),
    [
      ["heap", 0.91],
      ["heap", 0.92],
      ["memory", 0.99],
    ],
  );
  assert.deepEqual(
    monitor.alerts.map(({ source, share }) => [source, share]),
    alerts.map(({ source, share }) => [source, share]),
  );
  for (const { at } of monitor.alerts) assert.closeTo(at, Date.now(), 60_000);
});

test("pressure: a hundred samples are remembered, oldest first", () => {
  const { monitor, take } = told();
  take({ lag: 1 });
  for (let n = 1; n <= 120; n += 1) take({ lag: n, heap: n / 1000 });
  const { history } = monitor;
  assert.lengthOf(history, 100);
  assert.deepEqual(
    history.map(({ heap }) => heap),
    Array.from({ length: 100 }, (_, n) => (n + 21) / 1000),
  );
  assert.hasAllKeys(history[0], ["at", "level", "busy", "heap"]);
  assert.isAtMost(history[0]?.at ?? 0, (history[99]?.at ?? 0) + 1);
});

test("pressure: strategies scale with the cores, and above 80 % the conservative one holds", () => {
  const cores =
    (globalThis.navigator as { hardwareConcurrency?: number } | undefined)?.hardwareConcurrency || 4;
  const { monitor, take } = told();
  const conservative = Math.max(1, Math.floor(cores / 2));
  const all = () =>
    (["conservative", "balanced", "aggressive"] as const).map((strategy) => monitor.concurrency(strategy));
  take({ heap: 0.8 });
  assert.deepEqual(all(), [conservative, cores, Math.min(2 * cores, 8)]);
  assert.equal(monitor.concurrency(), cores);
  for (const reading of [{ heap: 0.81 }, { memory: 0.81 }, { lag: 300 }]) {
    take(reading);
    assert.deepEqual(all(), [conservative, conservative, conservative]);
  }
  assert.throws(() => monitor.concurrency("bold" as never), "Expected `strategy` to be `conservative`");
});

test("pressure: a sample that is due is taken when somebody asks, and none before", async () => {
  let reads = 0;
  const read = () => {
    reads += 1;
    return { heap: 0.5 };
  };
  const rare = new PressureMonitor({ interval: 2 ** 31 - 1, sources: [{ name: "counted", read }] });
  assert.equal(reads, 0, "a constructor measures nothing");
  assert.equal(rare.level, "nominal");
  for (let n = 0; n < 10; n += 1) rare.shouldThrottle();
  assert.equal(reads, 1);
  using often = new PressureMonitor({ interval: 5, sources: [{ name: "counted", read }] });
  await until(() => often.level === "nominal" && reads > 4);
  assert.isAbove(often.metrics().samples, 3);
});

test("pressure: subscribers get each sample, by a timer too", async () => {
  using monitor = new PressureMonitor({ interval: 5, sources: [{ name: "x", read: () => ({ heap: 0.7 }) }] });
  const samples: PressureSample[] = [];
  const off = monitor.subscribe((sample) => samples.push(sample));
  await until(() => samples.length >= 3);
  assert.include(samples[0], { level: "fair", heap: 0.7 });
  off();
  const { length } = samples;
  monitor.sample();
  assert.lengthOf(samples, length);
});

test("pressure: sources are started when somebody asks, and stopped when it is done with", () => {
  const calls: string[] = [];
  const source = {
    name: "watched",
    start: () => void calls.push("start"),
    stop: () => void calls.push("stop"),
    read: () => ({ heap: 0.95 }),
  };
  let kept: PressureMonitor;
  {
    using monitor = new PressureMonitor({ sources: [source] });
    assert.deepEqual(calls, []);
    const never = monitor.subscribe(() => {});
    assert.equal(calls[0], "start");
    assert.isTrue(monitor.shouldThrottle());
    never();
    kept = monitor;
  }
  assert.equal(calls.at(-1), "stop");
  assert.deepEqual([kept.level, kept.shouldThrottle()], ["unknown", false]);
  assert.deepEqual([kept.history, kept.alerts], [[], []]);
  assert.equal(kept.sample().level, "unknown");
});

test("pressure: a source that throws is unknown and told once, and the others go on", () => {
  let broken = true;
  const bad: PressureSource = {
    name: "bad",
    read() {
      if (broken) throw new Error("no");
      return { heap: 0.95 };
    },
  };
  const monitor = new PressureMonitor({ sources: [bad, { name: "good", read: () => ({ memory: 0.7 }) }] });
  const errors: string[] = [];
  monitor.on("error", ({ source, error }) => errors.push(`${source}: ${(error as Error).message}`));
  const { at: _, ...sample } = monitor.sample();
  assert.deepEqual(sample, { level: "fair", memory: 0.7 });
  monitor.sample();
  assert.deepEqual(errors, ["bad: no"]);
  broken = false;
  assert.equal(monitor.sample().level, "critical");
  broken = true;
  monitor.sample();
  assert.lengthOf(errors, 2);
});

test("pressure: what this platform has is honest: a level, shares from 0 to 1, or unknown", async () => {
  using monitor = new PressureMonitor({ interval: 10 });
  let samples = 0;
  const off = monitor.subscribe(() => {
    samples += 1;
  });
  await until(() => samples >= 20);
  off();
  for (const { level, busy = 0, memory = 0, heap = 0 } of monitor.history) {
    assert.include(LEVELS, level);
    for (const share of [busy, memory, heap]) assert.isTrue(share >= 0 && share <= 1, `${share}`);
  }
  assert.isAbove(monitor.metrics().memory ?? 0, 0, "the memory of the package itself is known everywhere");
  assert.isAtLeast(platformSources().length, 3);
});

test("pressure: an adaptive limit is held down by it, and let go", () => {
  const { monitor, take } = told();
  const cores =
    (globalThis.navigator as { hardwareConcurrency?: number } | undefined)?.hardwareConcurrency || 4;
  const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 100, initial: 50, pressure: monitor });
  const call = { latency: 5, inFlight: 1, ok: true } as const;
  take({ heap: 0.5 });
  assert.equal(limit.sample(call), 50);
  take({ heap: 0.85 });
  assert.equal(limit.sample(call), Math.max(1, Math.floor(cores / 2)));
  for (let n = 0; n < 4; n += 1) take({ heap: 0.5 });
  assert.equal(limit.sample(call), 50);
});

test("pressure: batches wait while it throttles, and go on when it is over", async () => {
  const { monitor, take } = told();
  take({ heap: 0.85 });
  let done = 0;
  const results = batch(
    [1, 2, 3, 4],
    () => {
      done += 1;
    },
    { batchSize: 2, pressure: monitor },
  );
  const first = results.next();
  for (let n = 0; n < 10; n += 1) await turn();
  assert.equal(done, 0);
  for (let n = 0; n < 4; n += 1) take({ heap: 0.5 });
  assert.isFalse((await first).done);
  for await (const _ of results);
  assert.equal(done, 4);
});

test("pressure: options that cannot work are refused in a sentence", () => {
  const read = () => ({});
  const wrong: PressureOptions[] = [
    { name: 1 as never },
    { interval: 0 },
    { fair: 0 },
    { serious: 0.5 },
    { critical: 1.1 },
    { alertAbove: 1 },
    { alertAbove: 2 },
    { sources: {} as never },
    { sources: [1 as never] },
    { sources: [{ name: "x" } as never] },
    { sources: [{ name: "x", read, start: 1 as never }] },
    { sources: [{ name: "x", read, stop: 1 as never }] },
  ];
  const messages = wrong.map((options) =>
    (thrown(() => new PressureMonitor(options)) as Error).message.replace("Expected ", ""),
  );
  assert.deepEqual(messages, [
    "`name` to be a string, got `1` (number)",
    "`interval` to be a number from 1 to 2147483647, got `0` (number)",
    "`fair` to be a number above 0 and at most 1, got `0` (number)",
    "`serious` to be a number above `fair` and at most 1, got `0.5` (number)",
    "`critical` to be a number above `serious` and at most 1, got `1.1` (number)",
    "`alertAbove` to be a number above 0 and below 1, got `1` (number)",
    "`alertAbove` to be a number from 0 to 1, got `2` (number)",
    "`sources` to be an array of sources, got an object",
    "`sources[0]` to be an object, got `1` (number)",
    "`sources[0].read` to be a function, got `undefined`",
    "`sources[0].start` to be a function, got `1` (number)",
    "`sources[0].stop` to be a function, got `1` (number)",
  ]);
  assert.throws(() => new PressureMonitor().subscribe(1 as never), "Expected `fn` to be a function");
});
