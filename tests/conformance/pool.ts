/**
 * Pools: the bound, whose turn it is, and what a task sees.
 */

import { ClosedError, isNeverPossibleError, Pool } from "tidegate";
import { assert, deferred, rejection, test, thrown, turn } from "./registry.js";
import { hold, isSettled, startsLater, until } from "./waiting.js";

test("pool: never more tasks run at once than there are slots, and all slots are used", async () => {
  const pool = new Pool({ concurrency: 3 });
  let running = 0;
  let most = 0;
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, index) =>
      pool.run(async () => {
        running += 1;
        most = Math.max(most, running);
        await (index % 5 === 0 ? turn() : null);
        running -= 1;
        return index;
      }),
    ),
  );
  assert.equal(most, 3);
  assert.deepEqual(
    results,
    Array.from({ length: 50 }, (_, index) => index),
  );
  assert.equal(pool.active, 0);
  assert.equal(pool.queued, 0);
});

test("pool: run starts a task at once where a slot is free", () => {
  const pool = new Pool({ concurrency: 1 });
  let started = false;
  void pool.run(() => {
    started = true;
  });
  assert.isTrue(started);
});

test("pool: run gives back what the task gives, synchronous or not", async () => {
  const pool = new Pool({ concurrency: 2 });
  const thenable = {
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
    then: (resolve: (value: string) => void) => resolve("from a thenable"),
  };
  assert.equal(await pool.run(() => 1), 1);
  assert.equal(await pool.run(async () => "two"), "two");
  assert.equal(await pool.run(() => thenable as PromiseLike<string>), "from a thenable");
  assert.isUndefined(await pool.run(() => {}));
  assert.isNull(await pool.run(() => null));
});

test("pool: a result that nobody has to wait for frees the slot before run returns", async () => {
  const pool = new Pool({ concurrency: 1 });
  const result = { value: 1 };
  const ends = [pool.run(() => result), pool.run(() => () => 2), pool.run(() => 3)] as const;
  assert.equal(pool.active + pool.queued, 0);
  assert.strictEqual(await ends[0], result);
  assert.equal((await ends[1])(), 2);
  assert.equal(await ends[2], 3);
});

test("pool: run rejects with what the task throws, synchronous or not, and frees the slot", async () => {
  const pool = new Pool({ concurrency: 1 });
  const error = new Error("broken");
  assert.strictEqual(
    await rejection(
      pool.run(() => {
        throw error;
      }),
    ),
    error,
  );
  assert.equal(await rejection(pool.run(() => Promise.reject("no Error at all"))), "no Error at all");
  assert.equal(pool.active, 0);
});

test("pool: a result whose then getter throws rejects, and frees the slot", async () => {
  const pool = new Pool({ concurrency: 1 });
  const hostile = {
    // biome-ignore lint/suspicious/noThenProperty: a hostile thenable is what is tested
    get then(): never {
      throw new Error("no looking");
    },
  };
  const error = await rejection(pool.run(() => hostile as unknown as PromiseLike<void>));
  assert.equal((error as Error).message, "no looking");
  assert.equal(pool.active, 0);
  assert.equal(await pool.run(() => 1), 1);
});

test("pool: a result that settles again and again speaks for its own task only", async () => {
  const pool = new Pool({ concurrency: 1 });
  const held: ((value: string) => void)[] = [];
  const chatty = {
    // biome-ignore lint/suspicious/noThenProperty: a hostile thenable is what is tested
    then(resolve: (value: string) => void, reject: (reason: unknown) => void) {
      held.push(resolve);
      resolve("first");
      resolve("second");
      reject(new Error("third"));
    },
  };
  const patched = Object.assign(Promise.resolve("as it is"), {
    // biome-ignore lint/suspicious/noThenProperty: a hostile promise is what is tested
    then: (resolve: (value: string) => void, reject: (reason: unknown) => void) => {
      held.push(resolve);
      resolve("as somebody says");
      reject(new Error("no, failed"));
    },
  });
  assert.equal(await pool.run(() => chatty as PromiseLike<string>), "first");
  assert.equal(await pool.run(() => patched as unknown as PromiseLike<string>), "as it is");
  const next = deferred<string>();
  const after = pool.run(() => next.promise);
  for (const resolve of held) resolve("late");
  await turn();
  assert.isFalse(await isSettled(after));
  assert.equal(pool.active, 1);
  next.resolve("its own");
  assert.equal(await after, "its own");
  assert.equal(pool.metrics().completed, 3);
});

test("pool: a task that settles after its time says nothing about the one that runs then", async () => {
  const pool = new Pool({ concurrency: 1, timeout: 5 });
  const [late, own] = [deferred<string>(), deferred<string>()];
  await rejection(pool.run(() => late.promise));
  const after = pool.run(() => own.promise, { timeout: Number.POSITIVE_INFINITY });
  late.resolve("late");
  await turn();
  assert.isFalse(await isSettled(after));
  own.resolve("its own");
  assert.equal(await after, "its own");
  assert.equal(pool.abandoned, 0);
});

test("pool: waiters start in the order of their arrival", async () => {
  const pool = new Pool({ concurrency: 1 });
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      pool.run(async () => {
        order.push(index);
        await null;
      }),
    ),
  );
  assert.deepEqual(
    order,
    Array.from({ length: 20 }, (_, index) => index),
  );
});

test("pool: a released slot goes to the oldest waiter in the tick that frees it, and nobody barges", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  const second = hold(pool);
  const barging: boolean[] = [];
  const third = first.done.then(async () => {
    if (startsLater) await null;
    barging.push(second.isRunning);
    return { barges: hold(pool) };
  });
  first.end();
  await first.done;
  if (startsLater) await null;
  assert.isTrue(second.isRunning);
  assert.deepEqual(barging, [true]);
  const { barges } = await third;
  assert.isFalse(barges.isRunning);
  second.end();
  barges.end();
  await pool.onIdle();
  assert.equal(pool.active, 0);
});

test("pool: active and queued say how many run and how many wait", async () => {
  const pool = new Pool({ concurrency: 2 });
  const tasks = Array.from({ length: 5 }, () => hold(pool));
  assert.deepEqual([pool.active, pool.queued, pool.waitingForRoom, pool.abandoned], [2, 3, 0, 0]);
  tasks[0]?.end();
  await tasks[0]?.done;
  assert.deepEqual([pool.active, pool.queued], [2, 2]);
  for (const task of tasks) task.end();
  await pool.onIdle();
  assert.deepEqual([pool.active, pool.queued], [0, 0]);
});

test("pool: the slot is free when whoever awaits the task goes on", async () => {
  const pool = new Pool({ concurrency: 1 });
  const seen: number[] = [];
  await pool.run(() => null);
  seen.push(pool.active);
  await pool.run(async () => null);
  seen.push(pool.active);
  await pool.run(() => Promise.reject(new Error("x"))).catch(() => {});
  seen.push(pool.active);
  assert.deepEqual(seen, [0, 0, 0]);
});

test("pool: tryRun runs what may start now and gives undefined for what would have to wait", async () => {
  const pool = new Pool({ concurrency: 1 });
  const { promise, resolve } = deferred<string>();
  const first = pool.tryRun(() => promise);
  assert.isDefined(first);
  let started = false;
  assert.isUndefined(
    pool.tryRun(() => {
      started = true;
    }),
  );
  resolve("done");
  assert.equal(await first, "done");
  await turn();
  assert.isFalse(started);
  assert.equal(await pool.tryRun(() => 2), 2);
});

test("pool: tryRun does not barge past those who wait, nor past a pause", async () => {
  const pool = new Pool({ concurrency: 2 });
  const tasks = [hold(pool), hold(pool, { weight: 2 })];
  assert.equal(pool.active, 1);
  assert.isUndefined(pool.tryRun(() => 1));
  for (const task of tasks) task.end();
  await pool.onIdle();
  pool.pause();
  assert.isUndefined(pool.tryRun(() => 1));
  pool.resume();
  assert.equal(await pool.tryRun(() => 1), 1);
});

test("pool: tryRun throws what time does not heal", async () => {
  const pool = new Pool({ concurrency: 2 });
  assert.isTrue(isNeverPossibleError(thrown(() => pool.tryRun(() => 1, { weight: 3 }))));
  await pool.close();
  assert.instanceOf(
    thrown(() => pool.tryRun(() => 1)),
    ClosedError,
  );
});

test("pool: tryRun with a signal that is aborted already throws its reason", () => {
  const pool = new Pool({ concurrency: 1 });
  const reason = new Error("gone");
  assert.strictEqual(
    thrown(() => pool.tryRun(() => 1, { signal: AbortSignal.abort(reason) })),
    reason,
  );
  assert.equal(pool.active, 0);
});

test("pool: resize up starts waiters in the same tick; resize down lets those who run finish", async () => {
  const pool = new Pool({ concurrency: 1 });
  const tasks = Array.from({ length: 6 }, () => hold(pool));
  pool.resize(4);
  assert.equal(pool.concurrency, 4);
  assert.deepEqual(
    tasks.map(({ isRunning }) => isRunning),
    [true, true, true, true, false, false],
  );
  pool.resize(2);
  assert.equal(pool.active, 4);
  tasks[0]?.end();
  tasks[1]?.end();
  await tasks[1]?.done;
  assert.equal(pool.active, 2);
  assert.isFalse(tasks[4]?.isRunning);
  tasks[2]?.end();
  await tasks[2]?.done;
  if (startsLater) await null;
  assert.isTrue(tasks[4]?.isRunning);
  assert.isFalse(tasks[5]?.isRunning);
  for (const task of tasks) task.end();
  await pool.onIdle();
  assert.equal(pool.active, 0);
});

test("pool: pause grants nothing and keeps the intake open, resume starts waiters in the same tick", async () => {
  const pool = new Pool({ concurrency: 2 });
  const before = hold(pool);
  pool.pause();
  assert.isTrue(pool.isPaused);
  const after = [hold(pool), hold(pool)];
  assert.equal(pool.queued, 2);
  before.end();
  await before.done;
  assert.equal(pool.active, 0);
  assert.equal(pool.queued, 2);
  pool.resume();
  assert.isFalse(pool.isPaused);
  if (startsLater) await null;
  assert.isTrue(after.every(({ isRunning }) => isRunning));
  for (const task of after) task.end();
  await pool.onIdle();
});

test("pool: coolDown holds everybody back for so long, and then lets the queue go by itself", async () => {
  const pool = new Pool({ concurrency: 2 });
  const began = performance.now();
  pool.coolDown(30);
  const task = hold(pool);
  assert.isFalse(task.isRunning);
  assert.isUndefined(pool.tryRun(() => 1));
  await until(() => task.isRunning);
  assert.isAtLeast(performance.now() - began, 29);
  task.end();
  await task.done;
});

test("pool: a shorter coolDown does not end a longer one", async () => {
  const pool = new Pool({ concurrency: 1 });
  const began = performance.now();
  pool.coolDown(40);
  pool.coolDown(1);
  await pool.run(() => null);
  assert.isAtLeast(performance.now() - began, 39);
});

test("pool: onIdle resolves at once where nothing runs, and else when the last task is over", async () => {
  const pool = new Pool({ concurrency: 1 });
  await pool.onIdle();
  const tasks = [hold(pool), hold(pool)];
  const idle = pool.onIdle();
  tasks[0]?.end();
  await tasks[0]?.done;
  assert.isFalse(await isSettled(idle));
  tasks[1]?.end();
  await idle;
  assert.equal(pool.active + pool.queued, 0);
});

test("pool: onIdle resolves when the last waiter leaves", async () => {
  const pool = new Pool({ concurrency: 1 });
  pool.pause();
  const controller = new AbortController();
  const waiting = hold(pool, { signal: controller.signal });
  const idle = pool.onIdle();
  controller.abort(new Error("left"));
  await idle;
  assert.equal(((await rejection(waiting.done)) as Error).message, "left");
});

test("pool: tasks lists those who wait and run, with their names and times", async () => {
  const pool = new Pool({ concurrency: 1 });
  const before = Date.now();
  const running = hold(pool, { name: "first" });
  const waiting = hold(pool, { name: "second" });
  const [one, two] = pool.tasks();
  assert.equal(one?.name, "first");
  assert.equal(one?.state, "running");
  assert.equal(one?.id, running.ctx.id);
  assert.isAtLeast(one?.startedAt ?? 0, before - 50);
  assert.equal(two?.name, "second");
  assert.equal(two?.state, "queued");
  assert.isUndefined(two?.startedAt);
  assert.closeTo(two?.queuedAt ?? 0, Date.now(), 5000);
  assert.notEqual(one?.id, two?.id);
  running.end();
  waiting.end();
  await pool.onIdle();
  assert.deepEqual(pool.tasks(), []);
});

test("pool: the context knows the call, and makes what it is asked for when it is first read", async () => {
  const pool = new Pool({ concurrency: 1 });
  const locals = { user: "me" };
  const deadline = Date.now() + 60_000;
  await pool.run(
    (ctx) => {
      assert.isNumber(ctx.id);
      assert.equal(ctx.name, "call");
      assert.equal(ctx.attempt, 1);
      assert.strictEqual(ctx.locals, locals);
      assert.equal(ctx.deadline, deadline);
      assert.instanceOf(ctx.signal, AbortSignal);
      assert.strictEqual(ctx.signal, ctx.signal);
      assert.isFalse(ctx.signal.aborted);
      assert.equal(ctx.lease.id, ctx.id);
    },
    { name: "call", locals, deadline },
  );
  await pool.run((ctx) => {
    assert.isUndefined(ctx.name);
    assert.isUndefined(ctx.deadline);
    assert.isObject(ctx.locals);
    ctx.locals.mine = 1;
    assert.equal(ctx.locals.mine, 1, "locals of a call that gave none last as long as the call");
  });
});

test("pool: spreading a context loses its fields, for they are getters of the prototype", async () => {
  const pool = new Pool({ concurrency: 1 });
  await pool.run((ctx) => {
    assert.deepEqual({ ...ctx } as object, {});
    assert.deepEqual(Object.keys(ctx), []);
  });
});

test("pool: two tasks never have the same id", async () => {
  const [one, two] = [new Pool({ concurrency: 1 }), new Pool({ concurrency: 1 })];
  const ids = await Promise.all([one, two, one, two].map((pool) => pool.run(({ id }) => id)));
  assert.equal(new Set(ids).size, 4);
});

test("pool: a task that calls its own pool waits for a slot like everybody else", async () => {
  const pool = new Pool({ concurrency: 2 });
  const order: string[] = [];
  const inner = await pool.run(async () => {
    order.push("outer");
    const other = hold(pool);
    const nested = pool.run(() => {
      order.push("nested");
      return "inner";
    });
    assert.equal(pool.queued, 1);
    other.end();
    return await nested;
  });
  assert.equal(inner, "inner");
  assert.deepEqual(order, ["outer", "nested"]);
});

test("pool: a task that runs synchronously may call the same pool", async () => {
  const pool = new Pool({ concurrency: 1 });
  const inner: Promise<number>[] = [];
  await pool.run(() => {
    inner.push(pool.run(() => 1));
    inner.push(pool.run(() => 2));
  });
  assert.deepEqual(await Promise.all(inner), [1, 2]);
  assert.equal(pool.active, 0);
});

test("pool: a result whose then getter calls the same pool while it settles loses nothing", async () => {
  const pool = new Pool({ concurrency: 1 });
  const started: string[] = [];
  const late: Promise<unknown>[] = [];
  const reentrant = (name: string) => ({
    name,
    // biome-ignore lint/suspicious/noThenProperty: what settling runs is what is tested
    get then() {
      late.push(
        pool.run(() => {
          started.push(`from ${name}`);
        }),
      );
      pool.resize(pool.concurrency === 1 ? 2 : 1);
      return undefined;
    },
  });
  const results = await Promise.all(
    ["a", "b", "c"].map((name) =>
      pool.run(() => {
        started.push(name);
        return reentrant(name) as unknown as { name: string };
      }),
    ),
  );
  await Promise.all(late);
  assert.lengthOf(results, 3);
  assert.includeMembers(started, ["a", "b", "c", "from a", "from b", "from c"]);
  await pool.onIdle();
  assert.deepEqual([pool.active, pool.queued], [0, 0]);
});

test("pool: ten thousand tasks run, each once, within the bound", async () => {
  const pool = new Pool({ concurrency: 10 });
  const times = new Uint8Array(10_000);
  let running = 0;
  let most = 0;
  const all = Array.from(times, (_, index) =>
    pool.run(async () => {
      most = Math.max(most, ++running);
      await null;
      times[index] = (times[index] ?? 0) + 1;
      running -= 1;
    }),
  );
  assert.equal(pool.queued, 9990);
  await Promise.all(all);
  assert.isTrue(times.every((count) => count === 1));
  assert.equal(most, 10);
  assert.equal(pool.metrics().completed, 10_000);
});

test("pool: ten thousand synchronous tasks behind one another do not overflow the stack", async () => {
  const pool = new Pool({ concurrency: 1 });
  const first = hold(pool);
  let ran = 0;
  const all = Array.from({ length: 10_000 }, () =>
    pool.run(() => {
      ran += 1;
    }),
  );
  first.end();
  await Promise.all(all);
  assert.equal(ran, 10_000);
});

test("pool: pools are bulkheads: one that is full holds no other up", async () => {
  const full = new Pool({ concurrency: 1 });
  const other = new Pool({ concurrency: 1 });
  const stuck = hold(full);
  const waiting = hold(full);
  assert.equal(await other.run(() => "free"), "free");
  stuck.end();
  waiting.end();
  await full.onIdle();
});

test("pool: a task that is no function rejects with a sentence that says so", async () => {
  const pool = new Pool({ concurrency: 1 });
  const error = (await rejection(pool.run(Promise.resolve(1) as never))) as Error;
  assert.instanceOf(error, TypeError);
  assert.equal(
    error.message,
    "Expected `task` to be a function, got an object (a promise: its work has already started)",
  );
  assert.equal(pool.active, 0);
});
