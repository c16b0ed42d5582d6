/**
 * What can be observed: exact counts, events, metrics as JSON and OpenMetrics, alerts, the logger.
 */

import { type Alert, CircuitBreaker, type LogEvent, Metrics, Pool, RateLimiter, setLogger } from "tidegate";
import { parseOpenMetrics } from "./openmetrics.js";
import { assert, rejection, test, thrown } from "./registry.js";
import { hold, until, watchedAbort } from "./waiting.js";

const HOUR = 3_600_000;

test("pool metrics: each task is counted once, by how it ended", async () => {
  const pool = new Pool({
    name: "counted",
    concurrency: 1,
    queue: { capacity: 2, overflow: "error" },
    timeout: 30,
  });
  await pool.run(() => 1);
  await pool.run(async () => 2);
  await rejection(pool.run(() => Promise.reject(new Error("bad"))));
  const first = hold(pool, { timeout: 60_000 });
  const { signal, abort } = watchedAbort();
  const leaving = hold(pool, { signal });
  const impatient = hold(pool, { waitTimeout: 1 });
  await rejection(pool.run(() => null));
  abort("left");
  await rejection(leaving.done);
  await rejection(impatient.done);
  await rejection(pool.run(() => null, { weight: 2 }));
  await rejection(pool.run(() => null, { deadline: 1 }));
  first.end();
  await first.done;
  const slow = hold(pool);
  await rejection(slow.done);
  const { wait, run, oldestRun, ...counts } = pool.metrics();
  assert.isAtLeast(oldestRun, 0);
  assert.equal(wait.count, 5);
  assert.equal(run.count, 4);
  assert.deepEqual(counts, {
    name: "counted",
    active: 0,
    queued: 0,
    waitingForRoom: 0,
    abandoned: 1,
    concurrency: 1,
    slotsInUse: 0,
    queueCapacity: 2,
    peakActive: 1,
    accepted: 7,
    started: 5,
    completed: 3,
    failed: 1,
    cancelled: 1,
    dropped: 0,
    rejected: 2,
    blocked: 0,
    shed: 1,
    queueTimeouts: 1,
    taskTimeouts: 1,
    lateReleases: 0,
  });
  slow.end();
});

test("pool metrics: wait and run times are recorded, with quantiles near the value", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const waiting = pool.run(() => null);
  const began = performance.now();
  await until(() => performance.now() - began > 30);
  first.end();
  await first.done;
  await waiting;
  const { wait, run } = pool.metrics();
  assert.equal(run.count, 2);
  assert.isAtLeast(run.max, 29);
  assert.isAtLeast(wait.max, 29);
  assert.equal(wait.min, 0);
  assert.isAtLeast(run.p99, run.max * 0.98);
  assert.isAtMost(run.p99, run.max * 1.02);
  assert.isAtMost(run.p50, run.p90);
  assert.closeTo(run.sum, run.min + run.max, 1);
});

test("pool metrics: peakActive is the most that ever ran at once", async () => {
  const pool = new Pool({ concurrency: 5 });
  const tasks = Array.from({ length: 3 }, () => hold(pool));
  for (const task of tasks) task.end();
  await pool.onIdle();
  await pool.run(() => null);
  assert.equal(pool.metrics().peakActive, 3);
});

test("pool events: overflow, timeout, scale, throttle, idle and close are told, until the disposer is called", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 0, overflow: "drop-newest" } });
  const told: [string, unknown][] = [];
  const offs = (["overflow", "timeout", "scale", "throttle", "idle", "close"] as const).map((event) =>
    pool.on(event, (detail) => told.push([event, detail])),
  );
  const busy = hold(pool, { timeout: 5, name: "slow" });
  await rejection(pool.run(() => null));
  await rejection(busy.done);
  pool.resize(3);
  pool.resize(3);
  pool.coolDown(0);
  void pool.close();
  const id = busy.ctx.id;
  assert.deepEqual(told, [
    ["overflow", { rule: "drop-newest", queued: 0 }],
    ["timeout", { id, name: "slow", limit: 5, abandoned: true }],
    ["idle", {}],
    ["scale", { from: 1, to: 3 }],
    ["throttle", { ms: 0 }],
    ["close", {}],
  ]);
  for (const off of offs) off();
  pool.resize(1);
  assert.lengthOf(told, 6);
  busy.end();
});

test("events: the same listener given twice is called twice and taken away one at a time; using takes it away", () => {
  const pool = new Pool({ concurrency: 1 });
  let calls = 0;
  const listener = () => {
    calls += 1;
  };
  const first = pool.on("scale", listener);
  {
    using second = pool.on("scale", listener);
    assert.isFunction(second);
    pool.resize(2);
    assert.equal(calls, 2);
  }
  pool.resize(3);
  assert.equal(calls, 3);
  first();
  pool.resize(4);
  assert.equal(calls, 3);
});

test("events: a listener may call the same pool", async () => {
  const pool = new Pool({ concurrency: 1 });
  const ran: string[] = [];
  const off = pool.on("idle", () => {
    off();
    void pool.run(() => void ran.push("from the listener"));
  });
  await pool.run(() => void ran.push("first"));
  await pool.onIdle();
  assert.deepEqual(ran, ["first", "from the listener"]);
});

test("setLogger: every event of every policy, with its name, until it is unset", async () => {
  const events: LogEvent[] = [];
  setLogger((event) => events.push(event));
  try {
    new Pool({ name: "p", concurrency: 1 }).resize(2);
    new RateLimiter({ kind: "token-bucket", limit: 1, per: 1000 }, { name: "r" }).coolDown(5);
    new CircuitBreaker({ name: "b" }).isolate();
  } finally {
    setLogger();
  }
  new Pool({ concurrency: 1 }).resize(2);
  assert.deepEqual(events, [
    { event: "scale", policy: "pool", name: "p", detail: { from: 1, to: 2 } },
    { event: "throttle", policy: "rate", name: "r", detail: { ms: 5 } },
    { event: "change", policy: "breaker", name: "b", detail: { from: "closed", to: "isolated" } },
  ]);
});

test("Metrics: all handles that are alive, or those it is given, in one snapshot", async () => {
  const pool = new Pool({ name: "seen", concurrency: 2 });
  const breaker = new CircuitBreaker({ name: "seen too" });
  const rate = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR }, { name: "and this" });
  await pool.run(() => null);
  const everything = new Metrics().toJSON();
  assert.isTrue(everything.pools.some(({ name, completed }) => name === "seen" && completed === 1));
  assert.isTrue(everything.breakers.some(({ name }) => name === "seen too"));
  assert.isTrue(everything.rates.some(({ name }) => name === "and this"));
  const chosen = new Metrics([pool, breaker, rate]).toJSON();
  assert.deepEqual([chosen.pools.length, chosen.breakers.length, chosen.rates.length], [1, 1, 1]);
  assert.closeTo(chosen.at, Date.now(), 60_000);
  assert.deepEqual(JSON.parse(JSON.stringify(new Metrics([rate]))).pools, []);
});

test("Metrics: counters of one's own", () => {
  const metrics = new Metrics([]);
  const scans = metrics.counter("scans");
  assert.equal(scans.increment(), 1);
  assert.equal(scans.increment(4), 5);
  assert.equal(metrics.counter("scans").value, 5);
  assert.deepEqual(metrics.toJSON().counters, { scans: 5 });
  assert.equal(
    (thrown(() => metrics.counter("not a name")) as Error).message,
    "Expected `name` to be letters, digits and `_`, got `not a name` (string)",
  );
  assert.equal(
    (thrown(() => scans.increment(-1)) as Error).message,
    "Expected `by` to be a number ≥ 0, got `-1` (number)",
  );
});

test("Metrics subscribe: a snapshot every so often, until the disposer is called", async () => {
  const metrics = new Metrics([]);
  let seen = 0;
  const off = metrics.subscribe(
    (snapshot) => {
      assert.isNumber(snapshot.at);
      seen += 1;
    },
    { every: 5 },
  );
  await until(() => seen >= 3);
  off();
  const before = seen;
  const began = performance.now();
  await until(() => performance.now() - began > 20);
  assert.equal(seen, before);
});

test("Metrics alert: told when it holds for long enough, once, and when it no longer does", async () => {
  const pool = new Pool({ concurrency: 1 });
  const metrics = new Metrics([pool]);
  const told: Alert[] = [];
  const off = metrics.alert({
    name: "queue",
    when: ({ pools }) => (pools[0]?.queued ?? 0) > 0,
    for: 20,
    notify: (alert) => told.push(alert),
  });
  const tasks = [hold(pool), hold(pool)];
  metrics.check();
  assert.lengthOf(told, 0, "it has not held for long enough");
  const began = Date.now();
  await until(() => Date.now() - began > 25);
  metrics.check();
  metrics.check();
  assert.lengthOf(told, 1);
  assert.include(told[0] as object, { name: "queue", firing: true });
  for (const task of tasks) task.end();
  await pool.onIdle();
  metrics.check();
  assert.lengthOf(told, 2);
  assert.include(told[1] as object, { name: "queue", firing: false });
  off();
  metrics.check();
  assert.lengthOf(told, 2);
});

test("Metrics alerts that come built in: abandoned tasks and queues that are nearly full", async () => {
  const pool = new Pool({ concurrency: 1, queue: { capacity: 5 } });
  const metrics = new Metrics([pool]);
  const told: string[] = [];
  const off = metrics.builtInAlerts(({ name, firing }) => told.push(`${name} ${firing}`));
  const stop = new AbortController();
  const stuck = hold(pool, { signal: stop.signal });
  const waiting = Array.from({ length: 5 }, () => hold(pool));
  metrics.check();
  assert.deepEqual(told, ["queue-nearly-full true"]);
  stop.abort();
  await rejection(stuck.done);
  metrics.check();
  assert.include(told, "tasks-abandoned true");
  stuck.end();
  for (const task of waiting) task.end();
  await pool.onIdle();
  await until(() => pool.abandoned === 0);
  metrics.check();
  assert.include(told, "tasks-abandoned false");
  off();
});

test("toOpenMetrics: the text keeps the grammar, with units, and says what was counted", async () => {
  const pool = new Pool({ name: "api", concurrency: 2 });
  const breaker = new CircuitBreaker({ name: "db" });
  const rate = new RateLimiter({ kind: "token-bucket", limit: 1, per: HOUR }, { name: "github" });
  const began = performance.now();
  await pool.run(() => until(() => performance.now() - began > 5));
  await rejection(pool.run(() => Promise.reject(new Error("x"))));
  rate.tryAcquire();
  rate.tryAcquire();
  const metrics = new Metrics([pool, breaker, rate]);
  metrics.counter("scans_total").increment(3);
  const families = parseOpenMetrics(metrics.toOpenMetrics());
  const sample = (family: string, key: string) => families.get(family)?.samples.get(key);
  assert.equal(sample("tidegate_pool_tasks", 'tidegate_pool_tasks_totalpool="api",outcome="completed"'), 1);
  assert.equal(sample("tidegate_pool_tasks", 'tidegate_pool_tasks_totalpool="api",outcome="failed"'), 1);
  assert.equal(sample("tidegate_pool_active", 'tidegate_pool_activepool="api"'), 0);
  assert.equal(sample("tidegate_pool_queued", 'tidegate_pool_queuedpool="api"'), 0);
  assert.equal(sample("tidegate_pool_abandoned", 'tidegate_pool_abandonedpool="api"'), 0);
  assert.equal(sample("tidegate_pool_run_seconds", 'tidegate_pool_run_seconds_countpool="api"'), 2);
  const { run } = pool.metrics();
  const [sum, p99] = ['_sumpool="api"', 'pool="api",quantile="0.99"'].map((key) =>
    sample("tidegate_pool_run_seconds", `tidegate_pool_run_seconds${key}`),
  );
  assert.closeTo(sum ?? -1, run.sum / 1000, 1e-9);
  assert.closeTo(p99 ?? -1, run.p99 / 1000, 1e-9);
  assert.equal(families.get("tidegate_pool_wait_seconds")?.type, "summary");
  assert.equal(families.get("tidegate_pool_wait_seconds")?.unit, "seconds");
  assert.equal(
    sample("tidegate_breaker_state", 'tidegate_breaker_statebreaker="db",tidegate_breaker_state="closed"'),
    1,
  );
  assert.equal(
    sample("tidegate_rate_requests", 'tidegate_rate_requests_totalrate="github",outcome="denied"'),
    1,
  );
  assert.equal(sample("scans", "scans_total"), 3);
  for (const [name, { help }] of families) assert.isDefined(help, name);
});

test("toOpenMetrics: names that are hard to write are escaped, and equal names stay apart", async () => {
  const name = 'quo"te\\back\nline';
  const pools = [name, name, `${name}#2`].map((each) => new Pool({ name: each, concurrency: 1 }));
  const families = parseOpenMetrics(new Metrics(pools).toOpenMetrics());
  assert.equal(families.get("tidegate_pool_active")?.samples.size, 3);
});

test("toOpenMetrics: a counter with and without _total is one counter", () => {
  const metrics = new Metrics([]);
  metrics.counter("scans").increment();
  metrics.counter("scans_total").increment();
  const families = parseOpenMetrics(metrics.toOpenMetrics());
  assert.equal(families.get("scans")?.samples.get("scans_total"), 2);
});

test("toOpenMetrics: a counter cannot take the place of one of the package's own", () => {
  assert.throws(() => new Metrics([]).counter("tidegate_pool_active"), TypeError, "Expected `name`");
});

test("toOpenMetrics: of nothing it is just the end", () => {
  assert.equal(new Metrics([]).toOpenMetrics(), "# EOF\n");
});
