/**
 * Orchestrators: who takes part, in which order, one result each; sinks: one write after the other, and none lost.
 */

import { isClosedError, isCycleError, Orchestrator, type Plugin, type PluginResult, Sink } from "tidegate";
import { assert, deferred, rejection, test, thrown, turn } from "./registry.js";
import { until, watchedAbort } from "./waiting.js";

const plugin = (name: string, more: Partial<Plugin<string>> = {}): Plugin<string> => ({
  name,
  mode: "passive",
  run: () => name,
  ...more,
});

test("orchestrator: active mode includes the passive plugins, and passive is the default", async () => {
  const plugins = new Orchestrator<string>({ name: "two modes" });
  assert.equal(plugins.name, "two modes");
  plugins.register(plugin("a")).register(plugin("b", { mode: "active" }));
  const names = (results: PluginResult<string>[]) => results.map((result) => result.plugin);
  assert.deepEqual(names(await plugins.run("x")), ["a"]);
  assert.deepEqual(names(await plugins.run("x", { mode: "active" })), ["a", "b"]);
});

test("orchestrator: one worker means strict order: needs, then priority, then registration; results are handed over", async () => {
  const plugins = new Orchestrator<string>();
  const order: string[] = [];
  const note = (name: string, more: Partial<Plugin<string>> = {}) =>
    plugins.register(plugin(name, { ...more, run: (target) => `${target}.${order[order.push(name) - 1]}` }));
  note("b");
  note("c");
  note("first", { priority: 10 });
  let handed: unknown;
  plugins.register(
    plugin("last", { priority: 100, needs: ["c"], run: (_, ctx, of) => (handed = [ctx.name, of.c]) }),
  );
  const results = await plugins.run("t", { maxWorkers: 1 });
  assert.deepEqual(order, ["first", "b", "c"]);
  assert.deepEqual(handed, ["last", "t.c"]);
  assert.deepEqual(
    results.map(({ plugin, value }) => [plugin, value]),
    [
      ["b", "t.b"],
      ["c", "t.c"],
      ["first", "t.first"],
      ["last", ["last", "t.c"]],
    ],
  );
});

test("orchestrator: one failure is one error result, also where it failed before it began", async () => {
  const plugins = new Orchestrator<string>();
  const error = new Error("no");
  const fail = () => {
    throw error;
  };
  plugins.register(plugin("bad", { run: fail })).register(plugin("unasked", { available: fail }));
  plugins
    .register(plugin("away", { available: async () => false }))
    .register(plugin("lost", { needs: ["bad"] }));
  plugins.register(plugin("orphan", { needs: ["nobody"] })).register(plugin("fine"));
  const results = await plugins.run("t");
  assert.deepEqual(
    results.map(({ plugin, status, because }) => [plugin, status, because]),
    [
      ["bad", "failed", undefined],
      ["unasked", "failed", undefined],
      ["away", "unavailable", undefined],
      ["lost", "skipped", "bad"],
      ["orphan", "skipped", "nobody"],
      ["fine", "succeeded", undefined],
    ],
  );
  assert.deepEqual(
    results.map(({ duration }) => duration === null),
    [false, true, true, true, true, false],
  );
  assert.isTrue(
    results.every(({ target, start }) => target === "t" && Math.abs(start - Date.now()) < 20_000),
  );
  assert.equal(results[0]?.error, error);
  assert.equal(results[1]?.error, error);
});

test("orchestrator: any number of workers gives the same results, and the number may change meanwhile", async () => {
  for (const maxWorkers of [1, 3, 5, 8, 10]) {
    const plugins = new Orchestrator<string>({ maxWorkers });
    let [running, most] = [0, 0];
    const gate = deferred();
    for (let n = 0; n < 20; n += 1)
      plugins.register(
        plugin(`p${n}`, {
          run: async () => {
            running += 1;
            most = Math.max(most, running);
            await gate.promise;
            running -= 1;
          },
        }),
      );
    const progress: number[] = [];
    const done = plugins.run("t", { onProgress: (over) => progress.push(over) });
    await until(() => running > 0);
    assert.equal(running, maxWorkers);
    plugins.resize(12);
    assert.equal(running, 12);
    gate.resolve();
    assert.lengthOf(await done, 20);
    assert.equal(most, 12);
    assert.equal(progress.at(-1), 20);
  }
});

test("orchestrator: an abort cancels what runs in the same tick and rejects with its reason", async () => {
  const plugins = new Orchestrator<string>();
  const watched = watchedAbort();
  let inner: AbortSignal | undefined;
  plugins.register(
    plugin("a", {
      run: (_, ctx) => {
        inner = ctx.signal;
        return new Promise(() => {});
      },
    }),
  );
  const done = plugins.run("t", { signal: watched.signal });
  await until(() => inner !== undefined);
  watched.abort("enough");
  assert.equal(inner?.reason, "enough");
  assert.equal(await rejection(done), "enough");
  assert.equal(watched.listeners(), 0);
});

test("orchestrator: names that are taken, circles and wrong options are refused by name", async () => {
  const plugins = new Orchestrator<string>();
  plugins.register(plugin("a", { needs: ["b"] }));
  assert.match(String(thrown(() => plugins.register(plugin("a")))), /a plugin `a` already/);
  const error = thrown(() => plugins.register(plugin("b", { needs: ["a"] })));
  assert.isTrue(isCycleError(error));
  assert.match(String(thrown(() => plugins.register(plugin("c", { mode: "x" as never })))), /`mode`/);
  assert.match(String(thrown(() => plugins.register(plugin("c", { needs: "a" as never })))), /`needs`/);
  assert.match(String(thrown(() => plugins.resize(0))), /`maxWorkers`/);
  assert.match(String(await rejection(plugins.run("t", { maxWorkers: 0 }))), /`maxWorkers`/);
});

test("orchestrator: a thousand plugins end in a thousand results, skipped ones among them", async () => {
  const plugins = new Orchestrator<string>();
  for (let n = 0; n < 500; n += 1) plugins.register(plugin(`p${n}`));
  plugins.register(plugin("away", { available: () => false }));
  for (let n = 0; n < 499; n += 1) plugins.register(plugin(`s${n}`, { needs: ["away"] }));
  const results = await plugins.run("t");
  const count = (status: string) => results.filter((result) => result.status === status).length;
  assert.deepEqual(
    ["succeeded", "unavailable", "skipped"].map((status) => count(status)),
    [500, 1, 499],
  );
  assert.equal(new Set(results.map((result) => result.plugin)).size, 1000);
});

test("orchestrator: it counts what becomes of plugins, at work and over, and tells it", async () => {
  const plugins = new Orchestrator<string>({ name: "counted", maxWorkers: 2 });
  const gate = deferred();
  const fail = () => {
    throw new Error("no");
  };
  plugins.register(plugin("slow", { run: () => gate.promise })).register(plugin("bad", { run: fail }));
  plugins.register(plugin("lost", { needs: ["bad"] })).register(plugin("away", { available: () => false }));
  const told: unknown[] = [];
  const offs = [
    plugins.on("start", ({ plugin, target }) => told.push([plugin, target])),
    plugins.on("result", ({ plugin, status }) => told.push([plugin, status])),
  ];
  const none = { succeeded: 0, failed: 0, skipped: 0, unavailable: 0, cancelled: 0 };
  const fixed = { name: "counted", plugins: 4, maxWorkers: 2 };
  assert.deepEqual(plugins.metrics(), { ...fixed, runs: 0, running: 0, ...none });
  const done = plugins.run("t");
  await until(() => plugins.metrics().skipped === 1);
  const now = { ...none, failed: 1, skipped: 1, unavailable: 1 };
  assert.deepEqual(plugins.metrics(), { ...fixed, runs: 1, running: 1, ...now });
  gate.resolve();
  await done;
  assert.deepEqual(plugins.metrics(), { ...fixed, runs: 0, running: 0, ...now, succeeded: 1 });
  assert.deepEqual(told, [
    ["away", "unavailable"],
    ["slow", "t"],
    ["bad", "t"],
    ["bad", "failed"],
    ["lost", "skipped"],
    ["slow", "succeeded"],
  ]);
  for (const off of offs) off();
  await plugins.run("t");
  assert.lengthOf(told, 6);
  assert.equal(plugins.metrics().succeeded, 2);
});

test("orchestrator: close cancels the runs under way and refuses others", async () => {
  const plugins = new Orchestrator<string>({ name: "closed" });
  let inner: AbortSignal | undefined;
  plugins.register(
    plugin("a", {
      run: (_, ctx) => {
        inner = ctx.signal;
        return new Promise(() => {});
      },
    }),
  );
  plugins.register(plugin("b", { needs: ["a"] }));
  const done = plugins.run("t");
  await until(() => inner !== undefined);
  plugins.close();
  plugins.close();
  assert.isTrue(inner?.aborted);
  const error = await rejection(done);
  assert.isTrue(isClosedError(error));
  assert.match(String(error), /orchestrator `closed` is closed/);
  assert.isTrue(isClosedError(await rejection(plugins.run("t"))));
  assert.isTrue(isClosedError(thrown(() => plugins.register(plugin("c")))));
  const { running, runs, cancelled } = plugins.metrics();
  assert.deepEqual([running, runs, cancelled], [0, 0, 2]);
});

test("sink: writes come one after the other in the order of completion, and a run waits for them", async () => {
  const plugins = new Orchestrator<string>();
  const slow = deferred();
  plugins.register(plugin("slow", { run: () => slow.promise })).register(plugin("quick"));
  const written: string[] = [];
  let writing = 0;
  const sink = new Sink<PluginResult<string>>({
    write: async (result) => {
      assert.equal(++writing, 1);
      await turn();
      written.push(result.plugin);
      writing -= 1;
      slow.resolve();
    },
  });
  await plugins.run("t", { sink });
  assert.deepEqual(written, ["quick", "slow"]);
});

test("sink: a write that fails is told, nothing after it is lost, and close waits", async () => {
  const written: number[] = [];
  const told: unknown[] = [];
  const error = new Error("full");
  const sink = new Sink<number>({
    name: "lines",
    write: async (n) => {
      await turn();
      if (n === 1) throw error;
      written.push(n);
    },
  });
  assert.equal(sink.name, "lines");
  sink.on("error", (detail) => told.push(detail));
  const writes = [0, 1, 2].map((n) => sink.write(n));
  assert.equal(await rejection(writes[1] as Promise<void>), error);
  void sink.write(3);
  const counted = { name: "lines", failed: 1, closed: false };
  assert.deepEqual(sink.metrics(), { ...counted, waiting: 2, written: 1 });
  await sink.close();
  assert.deepEqual(sink.metrics(), { ...counted, waiting: 0, written: 3, closed: true });
  assert.deepEqual(written, [0, 2, 3]);
  assert.deepEqual(told, [{ item: 1, error }]);
  assert.isTrue(isClosedError(await rejection(sink.write(4))));
});
