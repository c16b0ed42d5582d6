/**
 * Task graphs: who starts when, what is handed on, whose failure skips whom, what is refused, what a report says.
 */

import { type GraphTask, isClosedError, isCycleError, Metrics, TaskGraph } from "tidegate";
import { assert, deferred, rejection, test, thrown } from "./registry.js";
import { watchedAbort } from "./waiting.js";

const task = (more: Partial<GraphTask<unknown>> = {}): GraphTask<unknown> => ({ run: () => {}, ...more });

test("graph: a task starts in the turn in which the last one it depends on ends, and is handed the results", async () => {
  const graph = new TaskGraph();
  const [a, b] = [deferred<number>(), deferred<number>()];
  const seen: unknown[] = [];
  graph.add("sum", {
    dependsOn: ["a", "b", "a"],
    run: (ctx, of) => {
      seen.push(ctx.name, ctx.signal.aborted, Object.keys(of).sort());
      return (of.a as number) + (of.b as number);
    },
  });
  graph.add("a", { run: () => a.promise }).add("b", { run: () => b.promise });
  const done = graph.execute({ concurrency: 3 });
  assert.equal(graph.metrics().running, 2);
  a.resolve(1);
  await a.promise;
  assert.deepEqual(seen, []);
  b.resolve(2);
  for (let tick = 0; tick < 6; tick += 1) await null;
  assert.deepEqual(seen, ["sum", false, ["a", "b"]]);
  const report = await done;
  assert.deepEqual({ ...report.results }, { a: 1, b: 2, sum: 3 });
  assert.equal(report.total, 3);
  assert.equal(report.criticalPath.at(-1), "sum");
  assert.isAtLeast(report.duration, report.criticalTime);
});

test("graph: no more run at once than said, by priority and then by arrival; who waits holds no slot", async () => {
  const graph = new TaskGraph();
  const order: string[] = [];
  const [gate, go] = [deferred(), () => {}];
  const note = (id: string) => order.push(id);
  graph.add("first", { run: () => gate.promise, priority: 100 });
  graph.add("after", { dependsOn: ["first"], priority: 100, run: () => note("after") });
  for (const id of ["low", "low too"]) graph.add(id, { run: () => note(id) });
  graph.add("high", { priority: 50, run: () => note("high") });
  const done = graph.execute({ concurrency: 2 });
  assert.deepEqual(order, ["high"], "the one that waits for another takes no slot");
  gate.resolve();
  go();
  await done;
  assert.sameMembers(order, ["high", "low", "low too", "after"]);
  assert.isBelow(order.indexOf("low"), order.indexOf("low too"));
});

test("graph: a heavy task takes as many slots as it weighs", async () => {
  const graph = new TaskGraph();
  let running = 0;
  let most = 0;
  const run = async () => {
    running += 1;
    most = Math.max(most, running);
    await null;
    running -= 1;
  };
  for (let n = 0; n < 4; n += 1) graph.add(`t${n}`, { weight: 2, run });
  await graph.execute({ concurrency: 3 });
  assert.equal(most, 1);
});

test("graph: a circle is refused with its way round, and nothing has changed", async () => {
  const graph = new TaskGraph();
  graph.add("a", task({ dependsOn: ["b"] })).add("b", task({ dependsOn: ["c"] }));
  const error = thrown(() => graph.add("c", task({ dependsOn: ["a"] })));
  if (!isCycleError(error)) throw error;
  assert.sameMembers([...new Set(error.cycle)], ["a", "b", "c"]);
  assert.equal(error.cycle[0], error.cycle.at(-1));
  assert.isTrue(isCycleError(thrown(() => graph.add("self", task({ dependsOn: ["self"] })))));
  graph.add("c", task());
  assert.equal((await graph.execute()).total, 3);
});

test("graph: a name that is taken, a dependency that is not there and wrong options are refused by name", async () => {
  const graph = new TaskGraph({ name: "mine" });
  assert.equal(graph.name, "mine");
  graph.add("a", task({ dependsOn: ["nobody"] }));
  assert.match(String(thrown(() => graph.add("a", task()))), /a task `a` already/);
  assert.match(String(await rejection(graph.execute())), /`a` depends on `nobody`/);
  assert.match(String(thrown(() => graph.add("b", task({ priority: 101 })))), /`priority`/);
  assert.match(String(thrown(() => graph.add("b", task({ weight: 0 })))), /`weight`/);
  assert.match(String(thrown(() => graph.add("b", task({ dependsOn: "a" as never })))), /`dependsOn`/);
  assert.match(String(thrown(() => graph.add("b", {} as never))), /`run`/);
  assert.match(String(thrown(() => graph.add(1 as never, task()))), /`id`/);
  assert.match(String(thrown(() => graph.add("b", task({ onFailure: "stop" as never })))), /`onFailure`/);
  assert.match(String(await rejection(graph.execute({ concurrency: 0 }))), /`concurrency`/);
  graph.add("nobody", task());
  assert.equal((await graph.execute()).total, 2);
});

test("graph: a failure skips what depends on it with the reason, and nobody else", async () => {
  const graph = new TaskGraph();
  const error = new Error("no");
  graph.add("bad", {
    run: () => {
      throw error;
    },
  });
  graph.add("child", task({ dependsOn: ["bad"] })).add("grandchild", task({ dependsOn: ["child"] }));
  graph.add("brave", { dependsOn: ["child"], onFailure: "run", run: (_, of) => Object.keys(of).length });
  graph.add("other", { run: () => "fine" });
  const { tasks, results } = await graph.execute();
  assert.deepEqual(
    tasks.map(({ id, state, because }) => [id, state, because]),
    [
      ["bad", "failed", undefined],
      ["child", "skipped", "bad"],
      ["grandchild", "skipped", "bad"],
      ["brave", "succeeded", undefined],
      ["other", "succeeded", undefined],
    ],
  );
  assert.equal(tasks[0]?.error, error);
  assert.deepEqual({ ...results }, { brave: 0, other: "fine" });
  assert.isUndefined(tasks[1]?.startedAt);
  assert.isNumber(tasks[4]?.duration);
});

test("graph: with `onFailure: run` what depends on a failure runs all the same", async () => {
  const graph = new TaskGraph();
  graph.add("bad", { run: () => Promise.reject(new Error("no")) });
  graph.add("child", { dependsOn: ["bad"], run: (_, of) => "bad" in of });
  graph.add("strict", task({ dependsOn: ["bad"], onFailure: "skip" }));
  const { results, tasks } = await graph.execute({ onFailure: "run" });
  assert.deepEqual({ ...results }, { child: false });
  assert.equal(tasks[2]?.state, "skipped");
});

test("graph: tasks may add others while they run, and what is added later is executed later", async () => {
  const graph = new TaskGraph();
  graph.add("a", {
    run: () => {
      graph.add("b", { dependsOn: ["a"], run: (_, of) => `${of.a}b` });
      assert.match(String(thrown(() => graph.add("c", task({ dependsOn: ["z"] })))), /`c` depends on `z`/);
      return "a";
    },
  });
  assert.equal((await graph.execute()).results.b, "ab");
  let ran = false;
  graph.add("c", { dependsOn: ["b"], run: (_, of) => (ran = of.b === "ab") });
  await null;
  assert.isFalse(ran, "nothing runs while nobody executes");
  assert.equal((await graph.execute()).results.c, true);
  assert.match(String(await rejection(Promise.all([hung(graph), graph.execute()]))), /executed already/);
  graph.close();
});

function hung(graph: TaskGraph): Promise<unknown> {
  graph.add("hung", { run: () => new Promise(() => {}) });
  const done = graph.execute();
  done.catch(() => {});
  return done;
}

test("graph: an abort cancels everything in the same tick and leaves no listener", async () => {
  const graph = new TaskGraph();
  const watched = watchedAbort();
  let inner: AbortSignal | undefined;
  graph.add("runs", {
    run: (ctx) => {
      inner = ctx.signal;
      return new Promise(() => {});
    },
  });
  graph.add("waits", task({ dependsOn: ["runs"] }));
  const done = graph.execute({ signal: watched.signal });
  watched.abort("enough");
  assert.equal(inner?.reason, "enough");
  assert.deepInclude(graph.metrics(), { running: 0, waiting: 0, cancelled: 2 });
  assert.equal(await rejection(done), "enough");
  assert.equal(watched.listeners(), 0);
  assert.equal(await rejection(graph.execute({ signal: watched.signal })), "enough");
});

test("graph: one task is cancelled, its slot is free at once, and what depends on it is skipped because of it", async () => {
  const graph = new TaskGraph();
  let inner: AbortSignal | undefined;
  graph.add("a", {
    run: (ctx) => {
      inner = ctx.signal;
      return new Promise(() => {});
    },
  });
  graph.add("b", { run: () => "b" }).add("c", task({ dependsOn: ["a"] }));
  const done = graph.execute({ concurrency: 1 });
  assert.isTrue(graph.cancel("a", "not that one"));
  assert.equal(inner?.reason, "not that one");
  assert.isFalse(graph.cancel("a"));
  assert.isFalse(graph.cancel("nobody"));
  const { tasks } = await done;
  assert.deepEqual(
    tasks.map(({ state }) => state),
    ["cancelled", "succeeded", "skipped"],
  );
  assert.equal(tasks[2]?.because, "a");
});

test("graph: every change of state is told, and progress after each end", async () => {
  const graph = new TaskGraph();
  const told: string[] = [];
  const progress: [number, number][] = [];
  graph.add("a", task()).add("b", task({ dependsOn: ["a"] }));
  const off = graph.on("state", ({ id, from, to }) => told.push(`${id}: ${from} ${to}`));
  await graph.execute({ onProgress: (done, total) => progress.push([done, total]) });
  off();
  assert.deepEqual(told, [
    "a: waiting ready",
    "a: ready running",
    "a: running succeeded",
    "b: waiting ready",
    "b: ready running",
    "b: running succeeded",
  ]);
  assert.deepEqual(progress, [
    [1, 2],
    [2, 2],
  ]);
});

test("graph: the critical path is the chain that takes longest", async () => {
  const graph = new TaskGraph();
  graph.add("short", task());
  graph.add("long", { run: () => new Promise((resolve) => setTimeout(resolve, 5)) });
  graph.add("end", task({ dependsOn: ["short", "long"] }));
  const { criticalPath, criticalTime, tasks } = await graph.execute();
  // Where the clock stands still without I/O, both ways take the same time.
  if (criticalTime > 0) assert.deepEqual(criticalPath, ["long", "end"]);
  else assert.equal(criticalPath.at(-1), "end");
  assert.isTrue(tasks.every(({ addedAt, endedAt }) => (endedAt as number) >= addedAt - 1));
});

test("graph: an empty one is over at once; a closed one takes nothing more", async () => {
  const graph = new TaskGraph();
  assert.equal((await graph.execute()).total, 0);
  const done = hung(graph);
  {
    using gone = graph;
    assert.equal(gone.metrics().running, 1);
  }
  assert.isTrue(isClosedError(await rejection(done)));
  assert.isTrue(isClosedError(thrown(() => graph.add("x", task()))));
  assert.isTrue(isClosedError(await rejection(graph.execute())));
  assert.isFalse(graph.cancel("hung"));
});

test("metrics of graphs: how many tasks are where, in JSON and as text", async () => {
  const graph = new TaskGraph({ name: "counted graph" });
  graph.add("a", task()).add("b", { run: () => Promise.reject(new Error("no")) });
  graph.add("c", task({ dependsOn: ["b"] }));
  await graph.execute();
  const metrics = new Metrics();
  const found = metrics.toJSON().graphs.find(({ name }) => name === "counted graph");
  assert.deepInclude(found, { waiting: 0, running: 0, succeeded: 1, failed: 1, skipped: 1, cancelled: 0 });
  assert.match(metrics.toOpenMetrics(), /tidegate_graph_tasks\{graph="counted graph",state="skipped"\} 1/);
});
