/**
 * Bad options: each throws where it is given, in one sentence that names it.
 */

import {
  type BreakerOptions,
  CircuitBreaker,
  gather,
  Metrics,
  Pool,
  type PoolOptions,
  RateLimiter,
  type RateOptions,
  type RetryOptions,
  type RunOptions,
  retry,
} from "tidegate";
import { assert, rejection, test, thrown } from "./registry.js";

type Row = [options: unknown, sentence: string];

function table(name: string, call: (options: unknown) => unknown, rows: readonly Row[]): void {
  test(`bad options: ${name}`, async () => {
    for (const [options, sentence] of rows) {
      const error = await errorOf(() => call(options));
      assert.instanceOf(error, TypeError, sentence);
      assert.equal((error as Error).message, sentence);
    }
  });
}

/** What a call throws, or what its promise rejects with. */
async function errorOf(call: () => unknown): Promise<unknown> {
  const thrownOrPromise = await new Promise<unknown>((resolve) => {
    try {
      resolve(rejection(Promise.resolve(call())));
    } catch (error) {
      resolve(error);
    }
  });
  return thrownOrPromise;
}

const SLOTS = "an integer ≥ 1";
const COUNT = "an integer ≥ 0";
const MS = "a number of milliseconds ≥ 0";

table("Pool", (options) => new Pool(options as PoolOptions), [
  [undefined, "Expected `options` to be an object with `concurrency`, got `undefined`"],
  [null, "Expected `options` to be an object with `concurrency`, got `null`"],
  [5, "Expected `options` to be an object with `concurrency`, got `5` (number)"],
  [{}, `Expected \`concurrency\` to be ${SLOTS}, got \`undefined\``],
  [{ concurrency: 0 }, `Expected \`concurrency\` to be ${SLOTS}, got \`0\` (number)`],
  [{ concurrency: -1 }, `Expected \`concurrency\` to be ${SLOTS}, got \`-1\` (number)`],
  [{ concurrency: 1.5 }, `Expected \`concurrency\` to be ${SLOTS}, got \`1.5\` (number)`],
  [{ concurrency: Number.NaN }, `Expected \`concurrency\` to be ${SLOTS}, got \`NaN\` (number)`],
  [{ concurrency: "5" }, `Expected \`concurrency\` to be ${SLOTS}, got \`5\` (string)`],
  [{ concurrency: 5n }, `Expected \`concurrency\` to be ${SLOTS}, got \`5\` (bigint)`],
  [
    { concurrency: Number.POSITIVE_INFINITY },
    "Expected `concurrency` to be an integer from 1 to 4294967294, got `Infinity` (number)",
  ],
  [{ concurrency: 1, name: 5 }, "Expected `name` to be a string, got `5` (number)"],
  [{ concurrency: 1, timeout: -1 }, `Expected \`timeout\` to be ${MS}, got \`-1\` (number)`],
  [{ concurrency: 1, timeout: "1s" }, `Expected \`timeout\` to be ${MS}, got \`1s\` (string)`],
  [{ concurrency: 1, timeout: Number.NaN }, `Expected \`timeout\` to be ${MS}, got \`NaN\` (number)`],
  [
    { concurrency: 1, onTimeout: "wait" },
    "Expected `onTimeout` to be `release`, `hold`, got `wait` (string)",
  ],
  [{ concurrency: 1, leaseTimeout: [] }, `Expected \`leaseTimeout\` to be ${MS}, got an array`],
  [{ concurrency: 1, queue: 5 }, "Expected `queue` to be an object, got `5` (number)"],
  [
    { concurrency: 1, queue: { capacity: -1 } },
    `Expected \`queue.capacity\` to be ${COUNT}, got \`-1\` (number)`,
  ],
  [
    { concurrency: 1, queue: { overflow: "drop" } },
    "Expected `queue.overflow` to be `wait`, `drop-newest`, `drop-oldest`, `error`, got `drop` (string)",
  ],
  [
    { concurrency: 1, queue: { maxWaiters: 0.5 } },
    `Expected \`queue.maxWaiters\` to be ${COUNT}, got \`0.5\` (number)`,
  ],
  [
    { concurrency: 1, queue: { waitTimeout: -5 } },
    `Expected \`queue.waitTimeout\` to be ${MS}, got \`-5\` (number)`,
  ],
  [
    { concurrency: 1, queue: { aging: -1 } },
    "Expected `queue.aging` to be an integer from 0 to 1000000, got `-1` (number)",
  ],
  [{ concurrency: 1, rate: 5 }, "Expected `rate` to be an object, got `5` (number)"],
  [
    { concurrency: 1, rate: [{ kind: "token-bucket", limit: 0, per: 1 }] },
    `Expected \`rate[0].limit\` to be ${SLOTS}, got \`0\` (number)`,
  ],
  [{ concurrency: 1, breaker: "yes" }, "Expected `breaker` to be an object, got `yes` (string)"],
  [
    { concurrency: 1, breaker: { consecutive: 0 } },
    `Expected \`breaker.consecutive\` to be ${SLOTS}, got \`0\` (number)`,
  ],
  [{ concurrency: 1, retry: 3 }, "Expected `retry` to be an object, got `3` (number)"],
  [
    { concurrency: 1, retry: { attempts: 0 } },
    `Expected \`retry.attempts\` to be ${SLOTS}, got \`0\` (number)`,
  ],
]);

const pool = new Pool({ concurrency: 1 });
const runRows: readonly Row[] = [
  [null, "Expected `options` to be an object, got `null`"],
  ["x", "Expected `options` to be an object, got `x` (string)"],
  [{ signal: {} }, "Expected `signal` to be an AbortSignal, got an object"],
  [{ signal: "x" }, "Expected `signal` to be an AbortSignal, got `x` (string)"],
  [{ priority: 101 }, "Expected `priority` to be an integer from -100 to 100, got `101` (number)"],
  [{ priority: 0.5 }, "Expected `priority` to be an integer from -100 to 100, got `0.5` (number)"],
  [{ weight: 0 }, `Expected \`weight\` to be ${SLOTS}, got \`0\` (number)`],
  [{ cost: -1 }, `Expected \`cost\` to be ${COUNT}, got \`-1\` (number)`],
  [{ key: 5 }, "Expected `key` to be a string, got `5` (number)"],
  [{ timeout: -1 }, `Expected \`timeout\` to be ${MS}, got \`-1\` (number)`],
  [{ waitTimeout: -1 }, `Expected \`waitTimeout\` to be ${MS}, got \`-1\` (number)`],
  [{ deadline: -1 }, "Expected `deadline` to be a number ≥ 0, got `-1` (number)"],
  [{ deadline: new Date(0) }, "Expected `deadline` to be a number ≥ 0, got an object"],
  [{ name: {} }, "Expected `name` to be a string, got an object"],
  [{ parent: 5 }, "Expected `parent` to be the context of a task, got `5` (number)"],
  [{ locals: 5 }, "Expected `locals` to be an object, got `5` (number)"],
];

for (const call of ["run", "submit", "tryRun"] as const)
  table(call, (options) => pool[call](() => null, options as RunOptions), runRows);
for (const call of ["acquire", "tryAcquire"] as const)
  table(call, (options) => pool[call](options as RunOptions), runRows);

test("bad options: none of them took a slot, a place or a key", () => {
  assert.deepEqual([pool.active, pool.queued, pool.waitingForRoom], [0, 0, 0]);
});

table("close", (options) => new Pool({ concurrency: 1 }).close(options as object), [
  [{ grace: -1 }, `Expected \`grace\` to be ${MS}, got \`-1\` (number)`],
  [{ queued: "keep" }, "Expected `queued` to be `finish` or `reject`, got `keep` (string)"],
]);

table("resize", (size) => pool.resize(size as number), [
  [0, `Expected \`concurrency\` to be ${SLOTS}, got \`0\` (number)`],
  [undefined, `Expected \`concurrency\` to be ${SLOTS}, got \`undefined\``],
]);

table("coolDown", (ms) => pool.coolDown(ms as number), [
  [-1, `Expected \`ms\` to be ${MS}, got \`-1\` (number)`],
]);

table("on", (fn) => pool.on("idle", fn as () => void), [
  [undefined, "Expected `fn` to be a function, got `undefined`"],
]);

table("RateLimiter", (options) => new RateLimiter(options as RateOptions), [
  [undefined, "Expected `options` to be a rule, or several, got `undefined`"],
  [[], "Expected `options` to be a rule, or several, got an array"],
  [{ limit: 1, per: 1 }, "Expected `options.kind` to be `token-bucket`, `sliding-window`, got `undefined`"],
  [
    { kind: "token-bucket", limit: 0, per: 1 },
    `Expected \`options.limit\` to be ${SLOTS}, got \`0\` (number)`,
  ],
  [
    { kind: "sliding-window", limit: 0, per: 1 },
    "Expected `options.limit` to be an integer from 1 to 1000000, got `0` (number)",
  ],
  [
    { kind: "token-bucket", limit: 1, per: 0 },
    "Expected `options.per` to be a number of milliseconds ≥ 0.001, got `0` (number)",
  ],
  [
    { kind: "token-bucket", limit: 1, per: Number.POSITIVE_INFINITY },
    "Expected `options.per` to be a finite number of milliseconds, got `Infinity` (number)",
  ],
  [
    { kind: "token-bucket", limit: 1, per: 1, burst: 0 },
    `Expected \`options.burst\` to be ${SLOTS}, got \`0\` (number)`,
  ],
  [[{ kind: "token-bucket", limit: 1, per: 1 }, null], "Expected `options[1]` to be an object, got `null`"],
]);

table(
  "acquire of a RateLimiter",
  (options) => new RateLimiter({ kind: "token-bucket", limit: 1, per: 1 }).acquire(1, options as object),
  [
    [{ timeout: -1 }, `Expected \`timeout\` to be ${MS}, got \`-1\` (number)`],
    [{ signal: 5 }, "Expected `signal` to be an AbortSignal, got `5` (number)"],
  ],
);

table(
  "tryAcquire of a RateLimiter",
  (cost) => new RateLimiter({ kind: "token-bucket", limit: 1, per: 1 }).tryAcquire(cost as number),
  [
    [-1, `Expected \`cost\` to be ${COUNT}, got \`-1\` (number)`],
    ["1", `Expected \`cost\` to be ${COUNT}, got \`1\` (string)`],
  ],
);

const ratio = { failures: 0.5, window: 10, by: "count", minimum: 5 };

table("CircuitBreaker", (options) => new CircuitBreaker(options as BreakerOptions), [
  [null, "Expected `options` to be an object, got `null`"],
  [{ name: 5 }, "Expected `name` to be a string, got `5` (number)"],
  [{ consecutive: 0 }, `Expected \`consecutive\` to be ${SLOTS}, got \`0\` (number)`],
  [{ ratio: 0.5 }, "Expected `ratio` to be an object, got `0.5` (number)"],
  [
    { ratio: { ...ratio, failures: 0 } },
    "Expected `ratio.failures` to be a number above 0 and at most 1, got `0` (number)",
  ],
  [
    { ratio: { ...ratio, failures: 2 } },
    "Expected `ratio.failures` to be a number above 0 and at most 1, got `2` (number)",
  ],
  [{ ratio: { ...ratio, by: "calls" } }, "Expected `ratio.by` to be `count`, `time`, got `calls` (string)"],
  [
    { ratio: { ...ratio, window: 0 } },
    "Expected `ratio.window` to be an integer from 1 to 100000, got `0` (number)",
  ],
  [
    { ratio: { ...ratio, by: "time", window: 0 } },
    "Expected `ratio.window` to be a number of milliseconds ≥ 1, got `0` (number)",
  ],
  [{ ratio: { ...ratio, minimum: 0 } }, `Expected \`ratio.minimum\` to be ${SLOTS}, got \`0\` (number)`],
  [
    { ratio: { ...ratio, minimum: 11 } },
    "Expected `ratio.minimum` to be at most `ratio.window` (10), got `11` (number)",
  ],
  [{ slow: 5 }, "Expected `slow` to be an object, got `5` (number)"],
  [{ slow: { over: -1, ratio: 1 } }, `Expected \`slow.over\` to be ${MS}, got \`-1\` (number)`],
  [
    { slow: { over: 1, ratio: 0 } },
    "Expected `slow.ratio` to be a number above 0 and at most 1, got `0` (number)",
  ],
  [{ openFor: 0 }, "Expected `openFor` to be a number of milliseconds ≥ 0.001, got `0` (number)"],
  [{ openFor: "1m" }, "Expected `openFor` to be a number of milliseconds ≥ 0.001, got `1m` (string)"],
  [
    { openFor: { initial: 0, max: 1 } },
    "Expected `openFor.initial` to be a number of milliseconds ≥ 0.001, got `0` (number)",
  ],
  [
    { openFor: { initial: 5, max: 1 } },
    "Expected `openFor.max` to be a number of milliseconds ≥ `initial` (5), got `1` (number)",
  ],
  [{ halfOpen: 1 }, "Expected `halfOpen` to be an object, got `1` (number)"],
  [
    { halfOpen: { probes: 0 } },
    "Expected `halfOpen.probes` to be an integer from 1 to 500, got `0` (number)",
  ],
  [
    { halfOpen: { successes: 0 } },
    "Expected `halfOpen.successes` to be an integer from 1 to 500, got `0` (number)",
  ],
  [{ halfOpen: { ramp: -1 } }, `Expected \`halfOpen.ramp\` to be ${MS}, got \`-1\` (number)`],
  [{ isFailure: true }, "Expected `isFailure` to be a function, got `true` (boolean)"],
]);

table("retry", (options) => retry(() => 1, options as RetryOptions), [
  [null, "Expected `options` to be an object, got `null`"],
  [{ attempts: 0 }, `Expected \`options.attempts\` to be ${SLOTS}, got \`0\` (number)`],
  [{ backoff: 5 }, "Expected `options.backoff` to be an object with `initial` and `max`, got `5` (number)"],
  [{ backoff: { max: 1 } }, `Expected \`options.backoff.initial\` to be ${MS}, got \`undefined\``],
  [
    { backoff: { initial: 1, max: 2, factor: 0.5 } },
    "Expected `options.backoff.factor` to be a finite number ≥ 1, got `0.5` (number)",
  ],
  [
    { backoff: { initial: 1, max: 2, jitter: "some" } },
    "Expected `options.backoff.jitter` to be `full`, `equal`, `decorrelated`, `none`, got `some` (string)",
  ],
  [{ deadline: -1 }, `Expected \`options.deadline\` to be ${MS}, got \`-1\` (number)`],
  [{ budget: 5 }, "Expected `options.budget` to be an object, got `5` (number)"],
  [
    { budget: { ratio: -1 } },
    "Expected `options.budget.ratio` to be a number from 0 to 1000, got `-1` (number)",
  ],
  [
    { budget: { ratio: 1, minPerSecond: -1 } },
    "Expected `options.budget.minPerSecond` to be an integer from 0 to 1000000, got `-1` (number)",
  ],
  [{ when: 5 }, "Expected `options.when` to be a function, got `5` (number)"],
  [{ retryAfter: "yes" }, "Expected `options.retryAfter` to be a boolean, got `yes` (string)"],
  [{ signal: 5 }, "Expected `options.signal` to be an AbortSignal, got `5` (number)"],
]);

table("gather", (options) => gather([], options as object), [
  [null, "Expected `options` to be an object, got `null`"],
  [{ concurrency: 0 }, `Expected \`concurrency\` to be ${SLOTS}, got \`0\` (number)`],
  [{ signal: 5 }, "Expected `signal` to be an AbortSignal, got `5` (number)"],
  [{ onProgress: 5 }, "Expected `onProgress` to be a function, got `5` (number)"],
  [{ returnExceptions: 1 }, "Expected `returnExceptions` to be a boolean, got `1` (number)"],
]);

table("Metrics", (sources) => new Metrics(sources as []), [
  [5, "Expected `sources` to be an array of handles, got `5` (number)"],
]);

table("alert", (rule) => new Metrics([]).alert(rule as never), [
  [undefined, "Expected `rule` to be an object, got `undefined`"],
  [{}, "Expected `rule.name` to be a string, got `undefined`"],
  [{ name: "x" }, "Expected `rule.when` to be a function, got `undefined`"],
  [{ name: "x", when: () => true }, "Expected `rule.notify` to be a function, got `undefined`"],
  [
    { name: "x", when: () => true, notify: () => {}, for: -1 },
    `Expected \`rule.for\` to be ${MS}, got \`-1\` (number)`,
  ],
]);

test("bad options: a breaker of another copy of the package is told so", () => {
  const foreign = Object.create({
    constructor: class CircuitBreaker {},
    get state() {
      return "closed";
    },
    toJSON() {},
    isolate() {},
  });
  const error = thrown(() => new Pool({ concurrency: 1, breaker: foreign })) as Error;
  assert.instanceOf(error, TypeError);
  assert.equal(error.message, "Expected `breaker` to be a CircuitBreaker of this copy of the package");
});

test("options: a getter that throws passes on its error, and breaks nothing", async () => {
  const hostile = {
    get concurrency(): number {
      throw new RangeError("no reading");
    },
  };
  assert.instanceOf(
    thrown(() => new Pool(hostile)),
    RangeError,
  );
  const fine = new Pool({ concurrency: 1 });
  const error = await rejection(
    fine.run(() => 1, {
      get weight(): number {
        throw new RangeError("no reading");
      },
    }),
  );
  assert.instanceOf(error, RangeError);
  assert.equal(await fine.run(() => "fine"), "fine");
});

test("options: each is read once", () => {
  let reads = 0;
  const pool = new Pool({
    get concurrency() {
      reads += 1;
      return reads;
    },
  });
  assert.equal(reads, 1);
  assert.equal(pool.concurrency, 1);
});

test("options: a long value is cut short in the sentence", () => {
  const error = thrown(() => new Pool({ concurrency: "9".repeat(500) as never })) as Error;
  assert.isBelow(error.message.length, 150);
  assert.include(error.message, "…");
});
