/**
 * Pools of workers: what a call gives, how it fails, and how it is given up. Where there are no workers the same calls run on this
 * thread.
 */

import {
  isClosedError,
  isDroppedError,
  isQueueFullError,
  isQueueTimeoutError,
  isTimeoutError,
} from "tidegate";
import {
  callOutside,
  expose,
  transfer,
  type WorkerLike,
  WorkerPool,
  type WorkerPoolOptions,
} from "tidegate/workers";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { surroundings } from "./surroundings.js";
import type { functions } from "./worker-functions.js";
import "./worker-functions.js";

export type WorkerFunctions = typeof functions;

const NO_WORKERS = { skipIn: { workerd: "no-workers" } } as const;

/** Starts one of the suite's workers, where there are any. */
export function startWorker(options: { name: string }): WorkerLike {
  if (surroundings.worker === undefined) throw new Error("none here");
  return surroundings.worker(options);
}

/** A pool of the suite's workers, closed at the end of the case. */
export async function withWorkers(
  options: WorkerPoolOptions,
  use: (pool: WorkerPool<WorkerFunctions>) => Promise<void>,
  started: (worker: WorkerLike) => void = () => {},
): Promise<void> {
  const worker = (named: { name: string }) => {
    const one = startWorker(named);
    started(one);
    return one;
  };
  const pool = new WorkerPool<WorkerFunctions>({ worker, ...options });
  try {
    await use(pool);
  } finally {
    await pool.close({ grace: 0, queued: "reject" });
  }
}

test("workers: sync and async functions are called by name, and give what they give", () =>
  withWorkers({ size: 1 }, async (pool) => {
    assert.equal(await pool.run("add", [20, 22]), 42);
    assert.equal(await pool.run("squareLater", [5]), 25);
    assert.isUndefined(await pool.run("noop"));
    assert.deepEqual(await pool.run("echo", [{ map: new Map([[1, new Set([2])]]), at: new Date(5) }]), {
      map: new Map([[1, new Set([2])]]),
      at: new Date(5),
    });
  }));

test("workers: a generator function gives all that it yields", () =>
  withWorkers({ size: 1 }, async (pool) => {
    assert.deepEqual(await pool.run("countTo", [4]), [1, 2, 3, 4]);
    assert.deepEqual(await pool.run("countLater", [3]), [1, 2, 3]);
  }));

test("workers: stream gives what a generator yields, as it is read", () =>
  withWorkers({ size: 1 }, async (pool) => {
    let sum = 0;
    for await (const n of pool.stream("countTo", [1000])) sum += n;
    assert.equal(sum, 500_500);
    const later: number[] = [];
    for await (const n of pool.stream("countLater", [3])) later.push(n);
    assert.deepEqual(later, [1, 2, 3]);
    const plain: number[] = [];
    for await (const n of pool.stream("square", [3])) plain.push(n);
    assert.deepEqual(plain, [9], "what is no generator is one item");
  }));

test("workers: leaving the loop of a stream ends its generator, and its worker is free again", () =>
  withWorkers({ size: 1 }, async (pool) => {
    for await (const n of pool.stream("countTo", [1e9])) if (n === 200) break;
    assert.equal(await pool.run("add", [1, 1]), 2);
    assert.equal(pool.metrics().deaths, 0);
  }));

test("workers: a stream that fails gives what it yielded, then its error", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const seen: number[] = [];
    const error = await rejection(
      (async () => {
        for await (const n of pool.stream("failAfter", [3])) seen.push(n);
      })(),
    );
    assert.deepEqual(seen, [1, 2, 3]);
    assert.equal((error as Error).message, "enough");
    assert.instanceOf(error, RangeError);
  }));

test("workers: an error keeps its name, message, stack, code and cause", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const error = (await rejection(pool.run("throwsTyped"))) as TypeError & { code: string; errno: number };
    assert.instanceOf(error, TypeError);
    assert.deepEqual(
      [error.name, error.message, error.code, error.errno],
      ["TypeError", "told", "E_TOLD", 7],
    );
    assert.include(error.stack ?? "", "throwsTyped");
    assert.instanceOf(error.cause, RangeError);
    assert.equal((error.cause as Error).message, "deeper");
    assert.deepEqual(await rejection(pool.run("throwsValue")), { not: "an error" });
  }));

test("workers: what cannot be sent is named by its path, and the others of its message are sent", () =>
  withWorkers({ size: 1 }, async (pool) => {
    await pool.run("noop");
    const good = pool.run("add", [1, 2]);
    const bad = pool.run("echo", [{ options: [{ onDone: () => {} }] }]);
    const also = pool.run("add", [3, 4]);
    const error = (await rejection(bad)) as Error;
    assert.instanceOf(error, TypeError);
    assert.include(error.message, "`args[0].options[0].onDone`");
    assert.include(error.message, "a function");
    assert.deepEqual(await Promise.all([good, also]), [3, 7]);
    const result = (await rejection(pool.run("returnsFunction"))) as Error;
    assert.include(result.message, "`result.deep[0]`");
    assert.equal(await pool.run("add", [5, 6]), 11);
  }));

test("workers: a DOM node in the arguments is named by its path", () =>
  withWorkers({ size: 1 }, async (pool) => {
    if (typeof document === "undefined") {
      const error = (await rejection(pool.run("echo", [new Map([["key", Symbol("s")]])]))) as Error;
      assert.include(error.message, "`args[0].get(key)`");
      return;
    }
    const error = (await rejection(pool.run("echo", [1, { node: document.createElement("p") }]))) as Error;
    assert.include(error.message, "`args[1].node`");
    assert.include(error.message, "DOM node (p)");
  }));

test("workers: a function that is not exposed is told with those that are", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const error = (await rejection(pool.run("nothing" as "noop"))) as Error;
    assert.instanceOf(error, TypeError);
    assert.include(error.message, "`nothing`");
  }));

test("workers: what is transferred is no longer the caller's, and a result can be transferred too", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const bytes = new Uint8Array(1000);
    assert.equal(await pool.run("byteLength", [bytes], { transfer: [bytes.buffer] }), 1000);
    assert.equal(bytes.byteLength, 0);
    const filled = await pool.run("filled", [100]);
    assert.deepEqual([filled.length, filled[99]], [100, 7]);
    assert.deepEqual(transfer([1], []), [1]);
  }));

test("workers: an abort rejects with its reason in the same tick, whether the task waits or runs", () =>
  withWorkers({ size: 1 }, async (pool) => {
    const reason = new Error("changed my mind");
    const running = new AbortController();
    const begun = pool.run("untilStopped", [], { signal: running.signal });
    const waiting = new AbortController();
    const queued = pool.run("add", [1, 1], { signal: waiting.signal });
    waiting.abort(reason);
    running.abort(reason);
    assert.equal(await rejection(queued), reason);
    assert.equal(await rejection(begun), reason);
    assert.equal(await rejection(pool.run("noop", [], { signal: AbortSignal.abort(reason) })), reason);
    assert.equal(await pool.run("add", [2, 2]), 4);
    assert.equal(pool.metrics().deaths, 0, "a function that heeds its signal keeps its worker");
  }));

test(
  "workers: a task that heeds nothing is ended with its worker some time after its abort",
  () =>
    withWorkers({ size: 1, grace: 20 }, async (pool) => {
      await pool.ready;
      const controller = new AbortController();
      const hung = pool.run("hang", [], { signal: controller.signal });
      controller.abort();
      assert.equal(((await rejection(hung)) as Error).name, "AbortError");
      assert.equal(await pool.run("add", [2, 3]), 5, "another worker has taken its place");
    }),
  NO_WORKERS,
);

test(
  "workers: a time limit ends what nothing else stops",
  () =>
    withWorkers({ size: 1, taskTimeout: 10_000 }, async (pool) => {
      const error = await rejection(pool.run("hang", [], { timeout: 50 }));
      assert.isTrue(isTimeoutError(error));
      assert.equal((error as Error).message, 'Operation "hang" timed out after 50 ms');
      assert.equal(await pool.run("add", [2, 3]), 5);
      assert.equal(pool.metrics().timeouts, 1);
    }),
  NO_WORKERS,
);

test("workers: a time limit holds for what waits, too", () =>
  withWorkers({ size: 1 }, async (pool) => {
    assert.isTrue(isTimeoutError(await rejection(pool.run("wait", [60_000], { timeout: 20 }))));
    assert.equal(await pool.run("add", [2, 3]), 5);
  }));

test("workers: a deadline covers the wait and the run", () =>
  withWorkers({ size: 1 }, async (pool) => {
    assert.isTrue(isTimeoutError(await rejection(pool.run("noop", [], { deadline: Date.now() - 1 }))));
    assert.isTrue(
      isTimeoutError(await rejection(pool.run("untilStopped", [], { deadline: Date.now() + 30 }))),
    );
    assert.equal(await pool.run("add", [1, 2], { deadline: Date.now() + 15_000 }), 3);
  }));

test(
  "workers: a higher priority goes first",
  () =>
    withWorkers({ size: 1 }, async (pool) => {
      await pool.run("noop");
      const order: string[] = [];
      const tell = (name: string) => () => order.push(name);
      const busy = pool.run("wait", [50]);
      const all = [
        pool.run("wait", [1]).then(tell("first")),
        pool.run("wait", [2]).then(tell("second")),
        pool.run("wait", [3], { priority: 10 }).then(tell("urgent")),
      ];
      await Promise.all([busy, ...all]);
      assert.deepEqual(order, ["urgent", "first", "second"]);
    }),
  NO_WORKERS,
);

test(
  "workers: calls of one key go to one worker",
  () =>
    withWorkers({ size: { min: 2, max: 2 } }, async (pool) => {
      await pool.ready;
      const seen = new Set<number>();
      for (let n = 0; n < 10; n += 1) seen.add(await pool.run("identity", [], { key: "home" }));
      assert.equal(seen.size, 1);
      const homes = new Set<number>();
      for (let n = 0; n < 32; n += 1) homes.add(await pool.run("identity", [], { key: `key ${n}` }));
      assert.equal(homes.size, 2, "keys are spread over the workers");
    }),
  NO_WORKERS,
);

test(
  "workers: by round-robin each worker gets its turn",
  () =>
    withWorkers({ size: { min: 2, max: 2 }, dispatch: "round-robin" }, async (pool) => {
      await pool.ready;
      const seen: number[] = [];
      for (let n = 0; n < 6; n += 1) seen.push(await pool.run("identity"));
      assert.notEqual(seen[0], seen[1]);
      assert.deepEqual(seen.slice(2), [seen[0], seen[1], seen[0], seen[1]]);
    }),
  NO_WORKERS,
);

test(
  "workers: a queue that is full refuses, or drops the newest or the oldest",
  async () => {
    const fill = async (overflow: "error" | "drop-newest" | "drop-oldest") => {
      let outcomes: string[] = [];
      await withWorkers({ size: 1, queue: { capacity: 1, overflow } }, async (pool) => {
        await pool.run("noop");
        const controller = new AbortController();
        const { signal } = controller;
        const running = pool.run("untilStopped", [], { signal });
        const calls = ["oldest", "newest"].map((value) =>
          pool
            .run("echo", [value])
            .then(String, (error) =>
              isQueueFullError(error) ? "full" : isDroppedError(error) ? "dropped" : String(error),
            ),
        );
        running.catch(() => {});
        controller.abort();
        outcomes = await Promise.all(calls);
      });
      return outcomes;
    };
    assert.deepEqual(await fill("error"), ["oldest", "full"]);
    assert.deepEqual(await fill("drop-newest"), ["oldest", "dropped"]);
    assert.deepEqual(await fill("drop-oldest"), ["dropped", "newest"]);
  },
  NO_WORKERS,
);

test(
  "workers: waitTimeout bounds the wait for a worker, not the run",
  () =>
    withWorkers({ size: 1, queue: { waitTimeout: 30 } }, async (pool) => {
      await pool.run("noop", [], { waitTimeout: 15_000 });
      const running = pool.run("wait", [200]);
      assert.isTrue(isQueueTimeoutError(await rejection(pool.run("wait", [1]))));
      assert.equal(await running, 200);
    }),
  NO_WORKERS,
);

test(
  "workers: ready resolves when the workers that are started at once have answered",
  () =>
    withWorkers({ size: { min: 2, max: 3 } }, async (pool) => {
      await pool.ready;
      const { workers, idle, configured } = pool.metrics();
      assert.deepEqual([workers, idle, configured], [2, 2, 3]);
      assert.equal(pool.size, 3);
    }),
  NO_WORKERS,
);

test(
  "workers: more are started while work waits, and those above the minimum exit when idle",
  () =>
    withWorkers({ size: { min: 1, max: 2 }, idle: 30, name: "elastic" }, async (pool) => {
      const spawned: string[] = [];
      const gone = deferred<string>();
      pool.on("spawn", ({ worker }) => spawned.push(worker));
      pool.on("exit", ({ worker }) => gone.resolve(worker));
      await pool.ready;
      await Promise.all([pool.run("wait", [60]), pool.run("wait", [60])]);
      assert.deepEqual(spawned, ["elastic-1"]);
      assert.include(["elastic-0", "elastic-1"], await gone.promise);
      assert.equal(pool.metrics().workers, 1);
    }),
  NO_WORKERS,
);

test(
  "workers: one is replaced after so many tasks, and nothing is lost",
  () =>
    withWorkers({ size: 1, recycle: { tasks: 10 } }, async (pool) => {
      const seen = new Set<number>();
      for (let n = 0; n < 35; n += 1) seen.add(await pool.run("identity"));
      assert.isAtLeast(seen.size, 3);
      assert.isAtLeast(pool.metrics().recycled, 3);
    }),
  NO_WORKERS,
);

test("workers: close lets what was taken in end, takes nothing more, and is the end of every worker", () =>
  withWorkers({ size: { min: 1, max: 2 } }, async (pool) => {
    const running = pool.run("wait", [30]);
    const queued = [pool.run("wait", [1]), pool.run("wait", [2])];
    const closing = pool.close();
    assert.isTrue(isClosedError(await rejection(pool.run("noop"))));
    assert.deepEqual(await Promise.all([running, ...queued]), [30, 1, 2]);
    await closing;
    assert.equal(pool.metrics().workers, 0);
  }));

test(
  "workers: close with queued rejected keeps only what runs; without grace it keeps nothing",
  async () => {
    await withWorkers({ size: 1 }, async (pool) => {
      await pool.run("noop");
      const running = pool.run("wait", [40]);
      const queued = pool.run("wait", [1]);
      const refused = rejection(queued);
      await pool.close({ queued: "reject" });
      assert.isTrue(isClosedError(await refused));
      assert.equal(await running, 40);
    });
    await withWorkers({ size: 1 }, async (pool) => {
      await pool.run("noop");
      const refused = rejection(pool.run("hang"));
      await pool.close({ grace: 0 });
      assert.isTrue(isClosedError(await refused));
    });
  },
  NO_WORKERS,
);

test("workers: using closes a pool", async () => {
  const make = () => new WorkerPool({ worker: startWorker, size: 1 });
  let refused: Promise<unknown>;
  {
    using pool = make();
    refused = rejection(pool.run("untilStopped"));
  }
  assert.isTrue(isClosedError(await refused));
  let done: Promise<unknown>;
  {
    await using pool = make();
    done = pool.run("add", [1, 2]);
  }
  assert.equal(await done, 3);
});

test("workers: metrics say where the work is done, and count what became of it", () =>
  withWorkers({ size: 1, name: "counted" }, async (pool) => {
    await pool.run("add", [1, 2]);
    await rejection(pool.run("throwsValue"));
    const { name, mode, completed, failed, submitted } = pool.metrics();
    const expected = surroundings.worker === undefined ? "cooperative" : "workers";
    assert.deepEqual([name, mode, completed, failed, submitted], ["counted", expected, 1, 1, 2]);
    assert.equal(pool.name, "counted");
  }));

test("workers: ten thousand tasks travel in few messages, each answered with its own answer", () =>
  withWorkers({ size: 2 }, async (pool) => {
    const all = await Promise.all(Array.from({ length: 10_000 }, (_, n) => pool.run("square", [n])));
    assert.isTrue(all.every((value, n) => value === n * n));
    if (surroundings.worker !== undefined) assert.isBelow(pool.metrics().messages, 2_000);
  }));

test("workers: where none can be started the same calls run here, and metrics say so", async () => {
  const refuses = () => {
    throw new Error("refused by policy");
  };
  await withWorkers({ worker: refuses, name: "refused" }, async (pool) => {
    let told: unknown;
    pool.on("cooperative", ({ error }) => (told = error));
    assert.equal(await pool.run("add", [20, 22]), 42);
    assert.equal(pool.metrics().mode, "cooperative");
    if (surroundings.worker !== undefined) assert.equal((told as Error).message, "refused by policy");
    const items: number[] = [];
    for await (const n of pool.stream("countTo", [300])) items.push(n);
    assert.lengthOf(items, 300);
    const error = (await rejection(pool.run("throwsTyped"))) as TypeError;
    assert.equal(error.message, "told");
    const bad = (await rejection(pool.run("echo", [() => {}]))) as Error;
    assert.include(bad.message, "`args[0]`");
    const result = (await rejection(pool.run("returnsFunction"))) as Error;
    assert.include(result.message, "`result.deep[0]`");
    const missing = (await rejection(pool.run("nothing" as "noop"))) as Error;
    assert.include(missing.message, "`fallback`");
    assert.equal(pool.metrics().failed, 4);
  });
});

test("workers: where none can be started, `fallback` brings the functions", async () => {
  const refuses = () => {
    throw new Error("refused by policy");
  };
  const fallback = async () => expose({ lateComer: () => "here" });
  const pool = new WorkerPool<{ lateComer(): string }>({ worker: refuses, fallback });
  assert.equal(await pool.run("lateComer"), "here");
  await pool.close();
});

test(
  "workers: without workers a long row of tasks leaves the thread to others",
  async () => {
    const pool = new WorkerPool({
      worker: () => {
        throw new Error("none");
      },
    });
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    await Promise.all(Array.from({ length: 40 }, () => pool.run("spin", [2])));
    clearInterval(timer);
    // Browsers hold such timers back as they like; a thread that is not left sees none.
    assert.isAbove(turns, 0);
    await pool.close();
  },
  { skipIn: { workerd: "frozen-clock" } },
);

test("workers: wrong options and arguments are named", async () => {
  const message = (call: () => unknown) => (thrown(call) as Error).message;
  assert.include(
    message(() => new WorkerPool({ size: { min: 3, max: 2 } })),
    "`size.min`",
  );
  assert.include(
    message(() => new WorkerPool({ worker: 5 as never })),
    "`worker`",
  );
  assert.include(
    message(() => new WorkerPool({ dispatch: "random" as never })),
    "`dispatch`",
  );
  assert.include(
    message(() => expose({ one: 1 as never })),
    "`functions.one`",
  );
  await withWorkers({}, async (pool) => {
    assert.include(((await rejection(pool.run("add", 5 as never))) as Error).message, "`args`");
    assert.include(
      ((await rejection(pool.run("noop", [], { priority: 101 }))) as Error).message,
      "`priority`",
    );
  });
});

test(
  "callOutside: a worker waits for an async function outside, and gets its result or its error",
  () =>
    withWorkers(
      {
        size: 1,
        outside: {
          lookUp: async (id: number) => ({ id, tags: new Map([["a", new Date(5)]]), big: 5n }),
          long: async (length: number) => new Uint8Array(length).fill(9),
          fails: async () => {
            throw new RangeError("not there");
          },
          never: () => new Promise(() => {}),
        },
      },
      async (pool) => {
        await pool.ready;
        const first = pool.run("outside", ["lookUp", [7]]);
        first.catch(() => {});
        if (!(await pool.run("hasSharedMemory"))) {
          // The page is isolated, but WebKitGTK gives its workers no shared memory all the same.
          assert.match(navigator.userAgent, /Version\/\S+ Safari/);
          assert.include(((await rejection(first)) as Error).message, "cross-origin isolated");
          return;
        }
        assert.deepEqual(await first, { id: 7, tags: new Map([["a", new Date(5)]]), big: 5n });
        const long = (await pool.run("outside", ["long", [300_000]])) as Uint8Array;
        assert.deepEqual([long.length, long[299_999]], [300_000, 9]);
        const error = (await rejection(pool.run("outside", ["fails", []]))) as Error;
        assert.deepEqual([error.name, error.message], ["RangeError", "not there"]);
        assert.isTrue(isTimeoutError(await rejection(pool.run("outside", ["never", [], 30]))));
        assert.include(((await rejection(pool.run("outside", ["nobody", []]))) as Error).message, "`nobody`");
      },
    ),
  NO_WORKERS,
);

test("callOutside: outside of a worker it says where it belongs", () => {
  assert.include((thrown(() => callOutside("anything")) as Error).message, "only inside a worker");
});
