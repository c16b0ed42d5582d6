/** Pools whose size finds itself: what the ends of their tasks do to it, and what they do not. */

import {
  type AdaptiveOptions,
  isNeverPossibleError,
  isTimeoutError,
  Metrics,
  Pool,
  PoolGroup,
  type PoolOptions,
  policy,
  type TaskContext,
} from "tidegate";
import { assert, rejection, test, thrown, turn } from "./registry.js";
import { hold, until } from "./waiting.js";

function adaptive(of: Partial<AdaptiveOptions> = {}, options: Partial<PoolOptions> = {}): Pool {
  return new Pool({ ...options, concurrency: { algorithm: "aimd", min: 1, max: 4, ...of } });
}

/** As long as it takes for any clock to see that it took time. */
const aWhile = () => new Promise<void>((resolve) => setTimeout(resolve, 3));

/** Runs as many tasks as fit, and as many again that wait. */
async function fill(pool: Pool, task: () => unknown): Promise<void> {
  const most = 2 * pool.concurrency;
  await Promise.allSettled(Array.from({ length: most }, () => pool.run(task)));
}

/** What limits the pool: it is there once the first task has ended and the limit was fetched. */
async function limitOf(pool: Pool) {
  const find = () => new Metrics().toJSON().limits.find(({ name }) => name === pool.name);
  await pool.run(() => {});
  await until(() => find() !== undefined);
  return () => find() as NonNullable<ReturnType<typeof find>>;
}

test("adaptive pool: tasks that go well in a full pool let it grow, to its largest size and no further", async () => {
  const pool = adaptive({}, { name: "grows" });
  assert.equal(pool.concurrency, 1);
  const scaled: unknown[] = [];
  pool.on("scale", (change) => scaled.push(change));
  while (pool.concurrency < 4) await fill(pool, aWhile);
  for (let n = 0; n < 5; n += 1) await fill(pool, aWhile);
  assert.equal(pool.concurrency, 4);
  assert.deepEqual(scaled, [
    { from: 1, to: 2 },
    { from: 2, to: 3 },
    { from: 3, to: 4 },
  ]);
  assert.include((await limitOf(pool))(), { limit: 4, min: 1, max: 4, ups: 3, downs: 0 });
});

test("adaptive pool: as many run as it has come to", async () => {
  const pool = adaptive();
  let [running, most] = [0, 0];
  const task = async () => {
    most = Math.max(most, ++running);
    await aWhile();
    running -= 1;
  };
  while (pool.concurrency < 4) {
    await fill(pool, task);
    assert.isAtMost(most, pool.concurrency);
  }
  await fill(pool, task);
  assert.equal(most, 4);
});

test("adaptive pool: tasks that run out of time shrink it, with their slots given back or held", async () => {
  for (const onTimeout of ["release", "hold"] as const) {
    const pool = adaptive({ initial: 4, factor: 0.5 }, { timeout: 5, onTimeout });
    // It ends only after its time, however late a timer may be.
    const late = ({ signal }: TaskContext) =>
      new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    while (pool.concurrency > 1) {
      assert.isTrue(isTimeoutError(await rejection(pool.run(late))));
      await turn();
    }
    assert.equal(pool.concurrency, 1);
  }
});

test("adaptive pool: a target that says it has too much shrinks it, and no other failure does", async () => {
  const pool = adaptive({ initial: 4, factor: 0.5 }, { name: "told" });
  const limit = await limitOf(pool);
  const failing = async (error: unknown) => {
    const before = pool.concurrency;
    await rejection(
      pool.run(async () => {
        await aWhile();
        throw error;
      }),
    );
    await turn();
    return before - pool.concurrency;
  };
  for (const error of [new Error("broken"), { status: 500 }, undefined, "429"])
    assert.equal(await failing(error), 0);
  const overload = [
    { status: 429 },
    { statusCode: 503 },
    Object.assign(new Error("enough"), { overloaded: true }),
    new DOMException("late", "TimeoutError"),
  ];
  for (const error of overload) {
    // A call that began before the last decrease would tell of the same overload.
    await aWhile();
    const { downs } = limit();
    await failing(error);
    if (downs < 2) assert.equal(limit().downs, downs + 1);
  }
  assert.equal(limit().limit, 1);
});

test("adaptive pool: what is called off, or refused by a policy within, says nothing", async () => {
  const pool = adaptive({ initial: 4 }, { name: "silent" });
  const limit = await limitOf(pool);
  const inner = new Pool({ concurrency: 1, queue: { capacity: 0, overflow: "error" } });
  const taken = hold(inner);
  const stop = new AbortController();
  const running = hold(pool, { signal: stop.signal });
  await aWhile();
  stop.abort({ status: 429 });
  running.end();
  for (let n = 0; n < 20; n += 1) await rejection(pool.run(() => aWhile().then(() => inner.run(() => {}))));
  assert.include(limit(), { limit: 4, ups: 0, downs: 0 });
  taken.end();
});

test("adaptive pool: tasks that take no time, or do not fill it, let it be", async () => {
  const pool = adaptive({ initial: 2, max: 40 }, { name: "idle" });
  await limitOf(pool);
  pool.resize(20);
  for (let n = 0; n < 50; n += 1) await fill(pool, () => {});
  assert.equal(pool.concurrency, 20);
});

test("adaptive pool: a weight that only its largest size can hold may wait, a heavier one may not", async () => {
  const pool = adaptive();
  const heavy = pool.run(() => "ran", { weight: 4 });
  const error = await rejection(pool.run(() => {}, { weight: 5 }));
  assert.isTrue(isNeverPossibleError(error));
  assert.match((error as Error).message, /its weight is 5, and the limit is 4/);
  pool.resize(4);
  assert.equal(await heavy, "ran");
});

test("adaptive pool: heavy tasks fill it with fewer, and let it grow all the same", async () => {
  const pool = adaptive({ min: 4, max: 8 });
  while (pool.concurrency < 8) {
    const heavy = Array.from({ length: 4 }, () => pool.run(aWhile, { weight: 2 }));
    await Promise.all(heavy);
  }
  assert.equal(pool.concurrency, 8);
});

test("adaptive pool: resized by hand it goes on from the limit that it has found", async () => {
  const pool = adaptive({ initial: 2, max: 3 }, { name: "by hand" });
  const limit = await limitOf(pool);
  pool.resize(1);
  assert.equal(limit().limit, 2);
  while (limit().limit < 3) {
    pool.resize(2);
    await fill(pool, aWhile);
  }
  assert.equal(pool.concurrency, 3);
});

test("adaptive pool: under pressure it has what the conservative strategy says, and gets back what it had", async () => {
  let pressed = false;
  const pressure = { shouldThrottle: () => pressed, concurrency: () => 2 };
  const pool = adaptive({ initial: 4, max: 4, pressure });
  await pool.run(aWhile);
  pressed = true;
  while (pool.concurrency !== 2) await pool.run(aWhile);
  pressed = false;
  await pool.run(aWhile);
  await turn();
  assert.equal(pool.concurrency, 4);
});

test("adaptive pool: policies and groups may have such a size, each key its own", async () => {
  const concurrency = { algorithm: "aimd", min: 1, max: 4, initial: 2 } as const;
  const group = new PoolGroup({ name: "hosts", concurrency });
  assert.deepEqual([group.get("a").concurrency, group.get("b").concurrency], [2, 2]);
  while (group.get("a").concurrency < 3) await fill(group.get("a"), aWhile);
  assert.equal(group.get("b").concurrency, 2);
  const one = policy({ name: "adaptive", concurrency });
  assert.equal(await one.run(() => 1), 1);
  assert.equal(one.metrics().concurrency, 2);
});

test("adaptive pool: options that cannot work are refused in a sentence that says where", () => {
  const wrong = [
    { algorithm: "magic" as never },
    { min: 0 },
    { max: 0 },
    { initial: 5 },
    { interval: -1 },
    { target: 0 },
    { upAbove: 0 },
    { downBelow: 0.9 },
    { factor: 1 },
    { strategy: "bold" as never },
    { pressure: {} as never },
  ];
  const messages = wrong.map((options) =>
    (thrown(() => adaptive(options)) as Error).message.replace("Expected `concurrency.", ""),
  );
  assert.deepEqual(messages, [
    "algorithm` to be `aimd`, `gradient`, `vegas`, `threshold`, got `magic` (string)",
    "min` to be an integer ≥ 1, got `0` (number)",
    "max` to be an integer ≥ 1, got `0` (number)",
    "initial` to be an integer from 1 to 4, got `5` (number)",
    "interval` to be a number ≥ 0, got `-1` (number)",
    "target` to be a number ≥ 0.001, got `0` (number)",
    "upAbove` to be a number from 0.001 to 1000, got `0` (number)",
    "downBelow` to be a number from 0 to 0.8, got `0.9` (number)",
    "factor` to be other than 1, got `1` (number)",
    "strategy` to be `conservative`, `balanced`, `aggressive`, got `bold` (string)",
    "pressure.concurrency` to be a function, got `undefined`",
  ]);
  assert.throws(
    () => new Pool({ concurrency: null as never }),
    "Expected `concurrency` to be an integer ≥ 1",
  );
});
