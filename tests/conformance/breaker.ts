/**
 * Circuit breakers: when they open, how they find out whether the target works again, and what outlives them.
 */

import {
  type BreakerOptions,
  BrokenCircuitError,
  CircuitBreaker,
  isBrokenCircuitError,
  Pool,
} from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { hold, until, watchedAbort } from "./waiting.js";

const failure = new Error("the target failed");

async function fail(breaker: CircuitBreaker, times = 1): Promise<void> {
  for (let time = 0; time < times; time += 1)
    assert.strictEqual(await rejection(breaker.run(() => Promise.reject(failure))), failure);
}

async function succeed(breaker: CircuitBreaker, times = 1): Promise<void> {
  for (let time = 0; time < times; time += 1) assert.equal(await breaker.run(async () => "fine"), "fine");
}

/** An open breaker whose time is over. */
async function halfOpen(options: BreakerOptions = {}): Promise<CircuitBreaker> {
  const breaker = CircuitBreaker.from(
    { state: "half-open", openFor: 0, consecutive: 0, openings: 1 },
    { openFor: 60_000, ...options },
  );
  assert.equal(breaker.state, "half-open");
  return breaker;
}

test("breaker: it is closed at first, and passes on what calls give and throw", async () => {
  const breaker = new CircuitBreaker();
  assert.equal(breaker.state, "closed");
  assert.equal(await breaker.run(() => 1), 1);
  await fail(breaker);
  assert.equal(breaker.state, "closed");
});

test("breaker: opens after five failures in a row, unless told otherwise", async () => {
  const usual = new CircuitBreaker();
  await fail(usual, 4);
  assert.equal(usual.state, "closed");
  await fail(usual);
  assert.equal(usual.state, "open");
  const two = new CircuitBreaker({ consecutive: 2 });
  await fail(two, 2);
  assert.equal(two.state, "open");
});

test("breaker: any success resets the count of failures", async () => {
  const breaker = new CircuitBreaker({ consecutive: 3 });
  await fail(breaker, 2);
  await succeed(breaker);
  await fail(breaker, 2);
  assert.equal(breaker.state, "closed");
  await fail(breaker);
  assert.equal(breaker.state, "open");
});

test("breaker: an open one calls nothing, and says when to come back", async () => {
  const breaker = new CircuitBreaker({ name: "api", consecutive: 1, openFor: 60_000 });
  await fail(breaker);
  let called = false;
  const error = (await rejection(
    breaker.run(() => {
      called = true;
    }),
  )) as BrokenCircuitError;
  assert.isFalse(called);
  assert.instanceOf(error, BrokenCircuitError);
  assert.isAbove(error.retryAfterMs ?? 0, 50_000);
  assert.isAtMost(error.retryAfterMs ?? 0, 60_001);
  assert.match(
    error.message,
    /^Breaker "api" refused the task: its circuit is open, the next probe may pass in /,
  );
  assert.equal(breaker.metrics().refused, 1);
});

test("breaker: it stays open a minute unless told otherwise", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  await fail(breaker);
  assert.closeTo(breaker.toJSON().openFor, 60_000, 5000);
});

test("breaker: it is open before its time is over and half-open when it is, without a timer", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1, openFor: 40 });
  const began = performance.now();
  await fail(breaker);
  assert.equal(breaker.state, "open");
  await until(() => breaker.state === "half-open");
  assert.isAtLeast(performance.now() - began, 39);
  await succeed(breaker);
  assert.equal(breaker.state, "closed");
});

test("breaker: half-open lets one probe through, however many ask", async () => {
  const breaker = await halfOpen();
  const { promise, resolve } = deferred<string>();
  let called = 0;
  const calls = Array.from({ length: 20 }, () =>
    breaker.run(() => {
      called += 1;
      return promise;
    }),
  );
  const outcomes = Promise.allSettled(calls);
  assert.equal(called, 1);
  resolve("works");
  const settled = await outcomes;
  assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(breaker.state, "closed");
});

test("breaker: a probe that succeeds does not let a stampede through with it", async () => {
  const breaker = await halfOpen({ halfOpen: { probes: 1, successes: 3 } });
  for (let probe = 0; probe < 3; probe += 1) {
    const { promise, resolve } = deferred();
    let called = 0;
    const calls = Array.from({ length: 5 }, () =>
      breaker.run(() => {
        called += 1;
        return promise;
      }),
    );
    const outcomes = Promise.allSettled(calls);
    assert.equal(called, 1);
    assert.equal(breaker.state, "half-open");
    resolve();
    await outcomes;
  }
  assert.equal(breaker.state, "closed");
});

test("breaker: so many probes at once as told, and so many successes close it", async () => {
  const breaker = await halfOpen({ halfOpen: { probes: 3, successes: 2 } });
  const gates = Array.from({ length: 3 }, () => deferred());
  const probes = gates.map(({ promise }) => breaker.run(() => promise));
  const outcomes = Promise.allSettled(probes);
  assert.isTrue(isBrokenCircuitError(await rejection(breaker.run(() => 1))));
  gates[0]?.resolve();
  await probes[0];
  assert.equal(breaker.state, "half-open");
  gates[1]?.resolve();
  await probes[1];
  assert.equal(breaker.state, "closed");
  gates[2]?.resolve();
  await outcomes;
});

test("breaker: a probe that fails opens it again", async () => {
  const breaker = await halfOpen();
  await fail(breaker);
  assert.equal(breaker.state, "open");
  assert.isAbove(breaker.toJSON().openFor, 50_000);
});

test("breaker: a probe that is cancelled gives its permit back unjudged", async () => {
  const breaker = await halfOpen();
  const { signal, abort } = watchedAbort();
  const probe = breaker.run(() => new Promise(() => {}), { signal });
  assert.isTrue(isBrokenCircuitError(await rejection(breaker.run(() => 1))));
  abort("changed my mind");
  assert.equal(await rejection(probe), "changed my mind");
  assert.equal(breaker.state, "half-open");
  await succeed(breaker);
  assert.equal(breaker.state, "closed");
});

test("breaker: a call that times out is a failure", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  await rejection(breaker.run(() => new Promise(() => {}), { timeout: 5 }));
  assert.equal(breaker.state, "open");
});

test("breaker: aborts and refusals by policies of our own are no failures of the target", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  const { signal, abort } = watchedAbort();
  const aborted = breaker.run(() => new Promise(() => {}), { signal });
  abort("away");
  await rejection(aborted);
  await rejection(breaker.run(() => Promise.reject(new DOMException("stop", "AbortError"))));
  const full = new Pool({ concurrency: 1, queue: { capacity: 0, overflow: "error" } });
  const busy = hold(full);
  await rejection(breaker.run(() => full.run(() => null)));
  busy.end();
  assert.equal(breaker.state, "closed");
  assert.equal(breaker.metrics().ignored, 3);
  await fail(breaker);
  assert.equal(breaker.state, "open");
});

test("breaker ratio: opens when so large a share of the last calls failed, once there are enough", async () => {
  const breaker = new CircuitBreaker({ ratio: { failures: 0.5, window: 10, by: "count", minimum: 4 } });
  await fail(breaker, 3);
  assert.equal(breaker.state, "closed", "three are not enough to judge");
  const other = new CircuitBreaker({ ratio: { failures: 0.5, window: 10, by: "count", minimum: 4 } });
  await succeed(other, 3);
  await fail(other, 2);
  assert.equal(other.state, "closed");
  await fail(other);
  assert.equal(other.state, "open");
});

test("breaker ratio: what has left the window does not count", async () => {
  const breaker = new CircuitBreaker({ ratio: { failures: 0.6, window: 4, by: "count", minimum: 4 } });
  await fail(breaker, 2);
  await succeed(breaker, 4);
  await fail(breaker, 2);
  assert.equal(breaker.state, "closed");
  await fail(breaker);
  assert.equal(breaker.state, "open");
});

test("breaker ratio: five in a row open nothing where only a ratio is asked for", async () => {
  const breaker = new CircuitBreaker({ ratio: { failures: 1, window: 100, by: "count", minimum: 50 } });
  await fail(breaker, 10);
  assert.equal(breaker.state, "closed");
});

test("breaker ratio by time: what is older than the window does not count", async () => {
  const breaker = new CircuitBreaker({ ratio: { failures: 0.5, window: 300, by: "time", minimum: 3 } });
  await fail(breaker, 2);
  const began = performance.now();
  await until(() => performance.now() - began > 650);
  await fail(breaker, 2);
  assert.equal(breaker.state, "closed");
  await fail(breaker);
  assert.equal(breaker.state, "open");
});

test("breaker slow: opens when so large a share took too long, though it succeeded", async () => {
  const breaker = new CircuitBreaker({
    ratio: { failures: 1, window: 10, by: "count", minimum: 2 },
    slow: { over: 10, ratio: 1 },
  });
  const slowly = () => {
    const began = performance.now();
    return until(() => performance.now() - began > 15);
  };
  await breaker.run(slowly);
  assert.equal(breaker.state, "closed");
  await breaker.run(slowly);
  assert.equal(breaker.state, "open");
});

test("breaker isFailure: it judges errors and results", async () => {
  const breaker = new CircuitBreaker({
    consecutive: 2,
    isFailure: (value) => (value as { status?: number }).status === 503,
  });
  await rejection(breaker.run(() => Promise.reject(new Error("no such page"))));
  await rejection(breaker.run(() => Promise.reject(new Error("no such page"))));
  assert.equal(breaker.state, "closed");
  await breaker.run(() => ({ status: 503 }));
  await breaker.run(async () => ({ status: 503 }));
  assert.equal(breaker.state, "open");
});

test("breaker ramp: after closing, the share of calls that pass grows from little to all", async () => {
  const breaker = await halfOpen({ halfOpen: { probes: 1, successes: 1, ramp: 60_000 } });
  await succeed(breaker);
  assert.equal(breaker.state, "closed");
  const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => breaker.run(() => 1)));
  const passed = outcomes.filter(({ status }) => status === "fulfilled").length;
  assert.isAtLeast(passed, 1);
  assert.isBelow(passed, 10);
  const refused = outcomes.find(({ status }) => status === "rejected") as PromiseRejectedResult;
  assert.isTrue(isBrokenCircuitError(refused.reason));
  assert.isAbove(refused.reason.retryAfterMs, 0);
});

test("breaker openFor: with a backoff it stays open longer each time its probes fail", async () => {
  const options: BreakerOptions = {
    consecutive: 1,
    openFor: { initial: 1000, max: 8000, factor: 2, jitter: "none" },
  };
  const breaker = new CircuitBreaker(options);
  await fail(breaker);
  assert.closeTo(breaker.toJSON().openFor, 1000, 500);
  for (const expected of [2000, 4000, 8000, 8000]) {
    const { openings } = breaker.toJSON();
    const probing = CircuitBreaker.from(
      { state: "half-open", openFor: 0, consecutive: 0, openings },
      options,
    );
    await fail(probing);
    const opened = probing.toJSON();
    assert.closeTo(opened.openFor, Math.min(8000, 1000 * 2 ** openings), 500);
    assert.isAtMost(opened.openFor, expected);
    breaker.toJSON();
  }
});

test("breaker isolate: turns everybody away until what it returns is disposed", async () => {
  const breaker = new CircuitBreaker({ name: "db" });
  const lift = breaker.isolate();
  assert.equal(breaker.state, "isolated");
  const error = (await rejection(breaker.run(() => 1))) as BrokenCircuitError;
  assert.isTrue(isBrokenCircuitError(error));
  assert.isUndefined(error.retryAfterMs);
  assert.equal(error.message, `Breaker "db" refused the task: its circuit is isolated`);
  lift();
  assert.equal(breaker.state, "closed");
  await succeed(breaker);
  lift();
  assert.equal(breaker.state, "closed");
});

test("breaker isolate: who isolates twice lifts twice, in any order, and using lifts too", () => {
  const breaker = new CircuitBreaker();
  const first = breaker.isolate();
  {
    using second = breaker.isolate();
    assert.isFunction(second);
    first();
    first();
    assert.equal(breaker.state, "isolated");
  }
  assert.equal(breaker.state, "closed");
});

test("breaker: one that opens refuses the queues of both pools that share it, at once", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1 });
  const one = new Pool({ name: "one", concurrency: 1, breaker });
  const two = new Pool({ name: "two", concurrency: 1, breaker });
  const failing = hold(one);
  const running = hold(two);
  const queued = [hold(one), hold(two)];
  failing.fail(failure);
  await rejection(failing.done);
  assert.equal(breaker.state, "open");
  assert.deepEqual([one.queued, two.queued], [0, 0]);
  for (const { done } of queued) assert.isTrue(isBrokenCircuitError(await rejection(done)));
  assert.isTrue(isBrokenCircuitError(await rejection(two.run(() => 1))));
  running.end("goes on");
  assert.equal(await running.done, "goes on");
});

test("breaker: isolating refuses the queue of its pools too", async () => {
  const breaker = new CircuitBreaker();
  const pool = new Pool({ concurrency: 1, breaker });
  const running = hold(pool);
  const queued = hold(pool);
  const lift = breaker.isolate();
  assert.equal(pool.queued, 0);
  assert.isTrue(isBrokenCircuitError(await rejection(queued.done)));
  lift();
  running.end();
  assert.equal(await pool.run(() => 1), 1);
});

test("breaker: a pool's own breaker judges its tasks", async () => {
  const pool = new Pool({ concurrency: 1, breaker: { consecutive: 2 } });
  await rejection(pool.run(() => Promise.reject(failure)));
  await rejection(pool.run(() => Promise.reject(failure)));
  assert.isTrue(isBrokenCircuitError(await rejection(pool.run(() => 1))));
  assert.equal(pool.metrics().blocked, 1);
  assert.isUndefined(pool.tryRun(() => 1));
});

test("breaker events: each change of state is told, with the state before", async () => {
  const breaker = new CircuitBreaker({ consecutive: 1, openFor: 15 });
  const changes: string[] = [];
  const off = breaker.on("change", ({ from, to }) => changes.push(`${from} → ${to}`));
  await fail(breaker);
  await until(() => breaker.state === "half-open");
  await succeed(breaker);
  breaker.isolate()();
  assert.deepEqual(changes, [
    "closed → open",
    "open → half-open",
    "half-open → closed",
    "closed → isolated",
    "isolated → closed",
  ]);
  off();
  breaker.isolate()();
  assert.lengthOf(changes, 5);
});

test("breaker metrics: every call is counted once", async () => {
  const breaker = new CircuitBreaker({ name: "counted", consecutive: 3 });
  await succeed(breaker, 2);
  await fail(breaker, 3);
  await rejection(breaker.run(() => 1));
  const { openFor, ...rest } = breaker.metrics();
  assert.isAbove(openFor, 0);
  assert.deepEqual(rest, {
    name: "counted",
    state: "open",
    consecutive: 0,
    openings: 1,
    successes: 2,
    failures: 3,
    ignored: 0,
    refused: 1,
    opened: 1,
  });
});

test("breaker toJSON and from: another goes on from where it was", async () => {
  const breaker = new CircuitBreaker({ consecutive: 3, openFor: 30_000 });
  await fail(breaker, 2);
  const again = CircuitBreaker.from(JSON.parse(JSON.stringify(breaker)), { consecutive: 3, openFor: 30_000 });
  assert.equal(again.state, "closed");
  await fail(again);
  assert.equal(again.state, "open");
  const third = CircuitBreaker.from(JSON.parse(JSON.stringify(again)), { consecutive: 3, openFor: 30_000 });
  assert.equal(third.state, "open");
  assert.isAtMost(third.toJSON().openFor, 30_000);
  assert.isAbove(third.toJSON().openFor, 20_000);
  assert.isTrue(isBrokenCircuitError(await rejection(third.run(() => 1))));
});

test("breaker from: an isolated one stays isolated", () => {
  const breaker = new CircuitBreaker();
  breaker.isolate();
  assert.equal(CircuitBreaker.from(breaker.toJSON()).state, "isolated");
});

test("breaker from: what is no snapshot is told so", () => {
  const sentence = (json: unknown) => (thrown(() => CircuitBreaker.from(json as never)) as Error).message;
  assert.equal(sentence(undefined), "Expected `json` to be what `toJSON` gave, got `undefined`");
  assert.equal(
    sentence({ state: "ajar", openFor: 0, consecutive: 0, openings: 0 }),
    "Expected `json.state` to be `closed`, `open`, `half-open`, `isolated`, got `ajar` (string)",
  );
  assert.equal(
    sentence({ state: "open", openFor: -1, consecutive: 0, openings: 0 }),
    "Expected `json.openFor` to be a number ≥ 0, got `-1` (number)",
  );
});
