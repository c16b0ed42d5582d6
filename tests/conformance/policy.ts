/**
 * `policy`: several policies as one, in the one order that works well.
 */

import { isBrokenCircuitError, isQueueTimeoutError, isTimeoutError, policy } from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";

const quick = { initial: 1, max: 1, jitter: "none" } as const;
const busy = () => Object.assign(new Error("busy"), { status: 503 });

test("policy: without options it is a function call", async () => {
  assert.equal(await policy({}).run(() => 1), 1);
});

test("policy: without a concurrency nobody waits for a slot", async () => {
  const one = policy({});
  const { promise, resolve } = deferred();
  let running = 0;
  const all = Array.from({ length: 1000 }, () =>
    one.run(() => {
      running += 1;
      return promise;
    }),
  );
  assert.equal(running, 1000);
  resolve();
  await Promise.all(all);
});

test("policy: with a concurrency it is a bound", () => {
  const one = policy({ concurrency: 1 });
  void one.run(() => new Promise(() => {}));
  void one.run(() => new Promise(() => {})).catch(() => {});
  assert.include(one.metrics(), { name: "policy", active: 1, queued: 1 });
});

test("policy: each attempt has the whole timeout, for retry stands outside it", async () => {
  const one = policy({ timeout: 20, retry: { attempts: 3, backoff: quick } });
  const attempts: number[] = [];
  const error = await rejection(
    one.run(({ attempt }) => {
      attempts.push(attempt);
      return new Promise(() => {});
    }),
  );
  assert.isTrue(isTimeoutError(error));
  assert.deepEqual(attempts, [1, 2, 3]);
});

test("policy: each attempt is admitted anew and gives its slot back while it waits for the next", async () => {
  const one = policy({ concurrency: 1, retry: { attempts: 2, backoff: { ...quick, initial: 30, max: 30 } } });
  const order: string[] = [];
  const first = one.run(({ attempt }) => {
    order.push(`first ${attempt}`);
    if (attempt === 1) throw busy();
  });
  await one.run(() => void order.push("second"));
  await first;
  assert.deepEqual(order, ["first 1", "second", "first 2"]);
});

test("policy: each attempt counts once in the breaker, and an open breaker is not tried again", async () => {
  const one = policy({ retry: { attempts: 5, backoff: quick }, breaker: { consecutive: 2 } });
  let calls = 0;
  const error = await rejection(
    one.run(() => {
      calls += 1;
      throw busy();
    }),
  );
  assert.equal(calls, 2);
  assert.isTrue(isBrokenCircuitError(error) || (error as { status?: number }).status === 503);
  assert.isTrue(isBrokenCircuitError(await rejection(one.run(() => 1))));
  assert.equal(calls, 2);
});

test("policy: a refusal by the policy itself is not the target's failure", async () => {
  const one = policy({ concurrency: 1, queue: { waitTimeout: 5 }, breaker: { consecutive: 1 } });
  const { promise, resolve } = deferred();
  const first = one.run(() => promise);
  assert.isTrue(isQueueTimeoutError(await rejection(one.run(() => 1))));
  resolve();
  await first;
  assert.equal(await one.run(() => 2), 2);
});

test("policy: the deadline covers all attempts", async () => {
  const one = policy({ retry: { attempts: 1000, backoff: { ...quick, initial: 5, max: 5 } } });
  let calls = 0;
  const error = await rejection(
    one.run(
      () => {
        calls += 1;
        throw busy();
      },
      { deadline: Date.now() + 40 },
    ),
  );
  // Its own last error, or the refusal of an attempt that could not begin before the deadline.
  const { status, code } = error as { status?: number; code?: string };
  assert.isTrue(status === 503 || code === "QUEUE_TIMEOUT", `${error}`);
  assert.isBelow(calls, 20);
});

test("policy: bad options are said in a sentence that names them", () => {
  const sentence = (options: unknown) => (thrown(() => policy(options as never)) as Error).message;
  assert.equal(sentence(undefined), "Expected `options` to be an object, got `undefined`");
  assert.match(sentence({ timeout: -1 }), /^Expected `timeout`/);
});
