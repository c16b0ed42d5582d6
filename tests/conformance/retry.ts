/**
 * Retries: whether, when and how often to try again, alone and inside a pool.
 */

import {
  BrokenCircuitError,
  ClosedError,
  DroppedError,
  NeverPossibleError,
  Pool,
  QueueTimeoutError,
  type RetryOptions,
  retry,
  TimeoutError,
} from "tidegate";
import { assert, rejection, test, turn } from "./registry.js";
import { hold, isSettled, until, watchedAbort } from "./waiting.js";

/** Options that try again at once, as often as asked. */
function quick(more: RetryOptions = {}): RetryOptions {
  return {
    backoff: { initial: 1, max: 1, jitter: "none" },
    budget: { ratio: 1000, minPerSecond: 1_000_000 },
    ...more,
  };
}

function transient(message = "for now"): Error {
  return Object.assign(new Error(message), { retryable: true });
}

/** How often a task that always fails with that error is tried. */
async function attemptsFor(error: unknown, more: RetryOptions = {}): Promise<number> {
  let attempts = 0;
  const thrown = await rejection(
    retry(() => {
      attempts += 1;
      throw error;
    }, quick(more)),
  );
  assert.strictEqual(thrown, error);
  return attempts;
}

test("retry: what succeeds is called once", async () => {
  let calls = 0;
  assert.equal(await retry(() => (calls += 1)), 1);
  assert.equal(calls, 1);
});

test("retry: three attempts, then the last error", async () => {
  let attempts = 0;
  const error = await rejection(
    retry(({ attempt }) => {
      attempts += 1;
      assert.equal(attempt, attempts);
      throw transient(`attempt ${attempt}`);
    }, quick()),
  );
  assert.equal((error as Error).message, "attempt 3");
  assert.equal(attempts, 3);
});

test("retry: as many attempts as asked, and no more than needed", async () => {
  assert.equal(await attemptsFor(transient(), { attempts: 1 }), 1);
  assert.equal(await attemptsFor(transient(), { attempts: 6 }), 6);
  let calls = 0;
  const value = await retry(
    async () => {
      calls += 1;
      if (calls < 4) throw transient();
      return "fourth";
    },
    quick({ attempts: 10 }),
  );
  assert.equal(value, "fourth");
  assert.equal(calls, 4);
});

test("retry: only errors that say so, or are known to be transient", async () => {
  assert.equal(await attemptsFor(new Error("unknown")), 1);
  assert.equal(await attemptsFor("text"), 1);
  assert.equal(await attemptsFor(transient()), 3);
  for (const code of ["ECONNRESET", "ETIMEDOUT", "EAI_AGAIN", "UND_ERR_SOCKET"])
    assert.equal(await attemptsFor(Object.assign(new Error(code), { code })), 3, code);
  for (const status of [408, 425, 429, 500, 502, 503, 504])
    assert.equal(await attemptsFor(Object.assign(new Error("status"), { status })), 3, String(status));
  for (const status of [400, 401, 403, 404, 409, 501])
    assert.equal(await attemptsFor(Object.assign(new Error("status"), { status })), 1, String(status));
  assert.equal(await attemptsFor(new TimeoutError("x", 1)), 3);
  assert.equal(await attemptsFor(new QueueTimeoutError("x", { limit: 1 })), 3);
  assert.equal(await attemptsFor(new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } })), 3);
  assert.equal(await attemptsFor(new TypeError("undefined is not a function")), 1);
});

test("retry: never an abort, never what can never be, never one that is overloaded", async () => {
  assert.equal(await attemptsFor(new DOMException("stop", "AbortError")), 1);
  assert.equal(await attemptsFor(new NeverPossibleError("never", 1)), 1);
  assert.equal(await attemptsFor(new ClosedError("closed")), 1);
  assert.equal(await attemptsFor(new BrokenCircuitError("open")), 1);
  assert.equal(await attemptsFor(new DroppedError("dropped", { queued: 1, limit: 1 })), 1);
  assert.equal(await attemptsFor(Object.assign(new Error("busy"), { retryable: true, overloaded: true })), 1);
});

test("retry: `when` decides in place of what is known, but an abort is never tried again", async () => {
  assert.equal(await attemptsFor(new Error("unknown"), { when: () => true }), 3);
  assert.equal(await attemptsFor(transient(), { when: () => false }), 1);
  const never = new NeverPossibleError("never", 1);
  assert.equal(await attemptsFor(never, { when: () => true }), 1);
  assert.equal(await attemptsFor(new DOMException("stop", "AbortError"), { when: () => true }), 1);
});

test("retry: waits the backoff between attempts, doubling up to its most", async () => {
  const at: number[] = [];
  await rejection(
    retry(
      () => {
        at.push(performance.now());
        throw transient();
      },
      quick({ attempts: 4, backoff: { initial: 10, max: 20, factor: 2, jitter: "none" } }),
    ),
  );
  const gaps = at.slice(1).map((time, index) => time - (at[index] ?? 0));
  assert.lengthOf(gaps, 3);
  assert.isAtLeast(gaps[0] ?? 0, 9);
  assert.isAtLeast(gaps[1] ?? 0, 19);
  assert.isAtLeast(gaps[2] ?? 0, 19);
});

test("retry: Retry-After in seconds is the least that is waited", async () => {
  const at: number[] = [];
  await rejection(
    retry(
      () => {
        at.push(performance.now());
        throw Object.assign(transient(), { headers: new Headers({ "retry-after": "1" }) });
      },
      quick({ attempts: 2 }),
    ),
  );
  assert.isAtLeast((at[1] ?? 0) - (at[0] ?? 0), 995);
});

test("retry: Retry-After as a date, on the error's response, is heeded too", async () => {
  const headers = { "retry-after": new Date(Date.now() + 2000).toUTCString() };
  const error = Object.assign(transient(), { response: { headers } });
  const began = Date.now();
  await attemptsFor(error, { attempts: 2 });
  // A date is in whole seconds.
  assert.isAtLeast(Date.now() - began, 900);
});

test("retry: retryAfter false does as the backoff says", async () => {
  const began = performance.now();
  await attemptsFor(Object.assign(transient(), { retryAfterMs: 60_000 }), { attempts: 2, retryAfter: false });
  assert.isBelow(performance.now() - began, 10_000);
});

test("retry: a Retry-After beyond the deadline ends it at once", async () => {
  const began = performance.now();
  const attempts = await attemptsFor(Object.assign(transient(), { retryAfterMs: 60_000 }), {
    deadline: 5000,
  });
  assert.equal(attempts, 1);
  assert.isBelow(performance.now() - began, 4000);
});

test("retry: nothing begins after the deadline", async () => {
  const attempts = await attemptsFor(transient(), {
    attempts: 1000,
    deadline: 200,
    backoff: { initial: 80, max: 80, jitter: "none" },
  });
  assert.isAtLeast(attempts, 2);
  assert.isAtMost(attempts, 3);
});

test("retry: the budget bounds the share of retries of all calls that share the options", async () => {
  const options = quick({ attempts: 10, budget: { ratio: 0.1, minPerSecond: 0 } });
  let attempts = 0;
  const failing = () => {
    attempts += 1;
    throw transient();
  };
  for (let call = 0; call < 100; call += 1) await rejection(retry(failing, options));
  assert.isAtLeast(attempts, 105);
  assert.isAtMost(attempts, 125);
});

test("retry: an abort while it waits rejects at once with signal.reason and leaves no listener", async () => {
  const { signal, abort, listeners } = watchedAbort();
  let attempts = 0;
  const pending = retry(
    () => {
      attempts += 1;
      throw transient();
    },
    { ...quick({ backoff: { initial: 60_000, max: 60_000, jitter: "none" } }), signal },
  );
  await until(() => listeners() === 1);
  abort("stop");
  assert.equal(await rejection(pending), "stop");
  assert.equal(listeners(), 0);
  assert.equal(attempts, 1);
});

test("retry: a signal that is aborted already calls nothing", async () => {
  let called = false;
  const error = await rejection(
    retry(
      () => {
        called = true;
      },
      { ...quick(), signal: AbortSignal.abort("before") },
    ),
  );
  assert.equal(error, "before");
  assert.isFalse(called);
});

test("retry: an abort during an attempt ends with what the attempt ends with, and no other begins", async () => {
  const { signal, abort } = watchedAbort();
  let attempts = 0;
  const error = await rejection(
    retry(
      (ctx) => {
        attempts += 1;
        assert.strictEqual(ctx.signal, signal);
        abort("stop");
        throw transient();
      },
      { ...quick(), signal },
    ),
  );
  assert.isDefined(error);
  assert.equal(attempts, 1);
});

test("retry in a pool: each attempt is admitted anew and gives its slot back while it waits", async () => {
  const pool = new Pool({
    concurrency: 1,
    retry: quick({ backoff: { initial: 30, max: 30, jitter: "none" } }),
  });
  const order: string[] = [];
  const retried = pool.run(({ attempt }) => {
    order.push(`attempt ${attempt}`);
    if (attempt === 1) throw transient();
    return "healed";
  });
  await until(() => pool.active === 0);
  await pool.run(() => void order.push("between"));
  assert.equal(await retried, "healed");
  assert.deepEqual(order, ["attempt 1", "between", "attempt 2"]);
  assert.equal(pool.metrics().started, 3);
});

test("retry in a pool: an abort while it waits for its next attempt rejects at once", async () => {
  const pool = new Pool({
    concurrency: 1,
    retry: quick({ backoff: { initial: 60_000, max: 60_000, jitter: "none" } }),
  });
  const { signal, abort, listeners } = watchedAbort();
  const retried = pool.run(
    () => {
      throw transient();
    },
    { signal },
  );
  await until(() => pool.active === 0 && listeners() === 1);
  abort("leave it");
  assert.equal(await rejection(retried), "leave it");
  assert.equal(listeners(), 0);
});

test("retry in a pool: a timeout covers one attempt, the deadline all of them", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 10, retry: quick({ attempts: 3 }) });
  let attempts = 0;
  const error = await rejection(
    pool.run(() => {
      attempts += 1;
      return new Promise(() => {});
    }),
  );
  assert.instanceOf(error, TimeoutError);
  assert.equal(attempts, 3);
  let more = 0;
  const began = Date.now();
  await rejection(
    pool.run(
      () => {
        more += 1;
        return new Promise(() => {});
      },
      { deadline: began + 15, timeout: 10 },
    ),
  );
  assert.isAtMost(more, 2);
});

test("retry in a pool: a Retry-After cools the whole pool down", async () => {
  const pool = new Pool({ concurrency: 4, retry: quick() });
  const retried = pool.run(({ attempt }) => {
    if (attempt === 1) throw Object.assign(transient(), { retryAfterMs: 150 });
    return performance.now();
  });
  const began = performance.now();
  await isSettled(retried);
  const other = hold(pool);
  assert.isFalse(other.isRunning);
  await until(() => other.isRunning);
  assert.isAtLeast(performance.now() - began, 140);
  other.end();
  await retried;
});

test("retry in a pool: a refusal by the pool's own rate does not cool it down", async () => {
  const pool = new Pool({
    concurrency: 4,
    rate: { kind: "token-bucket", limit: 1, per: 3_600_000 },
    retry: quick({ attempts: 2, deadline: 1000 }),
  });
  await pool.run(() => null);
  await rejection(pool.run(() => null, { waitTimeout: 1 }));
  assert.equal(await pool.tryRun(() => "costs nothing", { cost: 0 }), "costs nothing");
});

test("retry in a pool: keys and names stay those of the call", async () => {
  const pool = new Pool({ concurrency: 1, retry: quick() });
  const names: (string | undefined)[] = [];
  await pool.run(
    (ctx) => {
      names.push(ctx.name);
      if (ctx.attempt < 3) throw transient();
    },
    { name: "mine", key: "k" },
  );
  assert.deepEqual(names, ["mine", "mine", "mine"]);
});

test("retry in a pool: submit tries again too", async () => {
  const pool = new Pool({ concurrency: 1, retry: quick() });
  let attempts = 0;
  const { accepted, done } = pool.submit(() => {
    attempts += 1;
    if (attempts < 3) throw transient();
    return "third";
  });
  await accepted;
  assert.equal(await done, "third");
  assert.equal(attempts, 3);
});

test("retry in a pool: a submission can be cancelled while it waits for its next attempt", async () => {
  const pool = new Pool({
    concurrency: 1,
    retry: quick({ backoff: { initial: 60_000, max: 60_000, jitter: "none" } }),
  });
  let attempts = 0;
  const { accepted, done, cancel } = pool.submit(() => {
    attempts += 1;
    throw transient();
  });
  await accepted;
  await until(() => pool.active === 0);
  assert.isTrue(cancel("no more"));
  assert.equal(await rejection(done), "no more");
  assert.isFalse(cancel());
  assert.equal(attempts, 1);
});

test("retry in a pool: however many wait for their next attempt, a signal they share has few listeners", async () => {
  const pool = new Pool({
    concurrency: 50,
    retry: quick({ backoff: { initial: 60_000, max: 60_000, jitter: "none" } }),
  });
  const { signal, abort, listeners } = watchedAbort();
  const all = Array.from({ length: 50 }, () =>
    rejection(
      pool.run(
        () => {
          throw transient();
        },
        { signal },
      ),
    ),
  );
  await until(() => pool.active === 0);
  // By then they have heard how the attempt ended.
  await turn();
  assert.isAtMost(listeners(), 2);
  abort("all");
  assert.isTrue((await Promise.all(all)).every((reason) => reason === "all"));
  assert.equal(listeners(), 0);
});
