/**
 * Task graphs against an exact model, with the real wasm: which task is where after every step, in the tick of the step, whatever
 * is added, completed, cancelled, aborted and closed.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type GraphReport, type GraphTaskState, type Results, type TaskContext, TaskGraph } from "tidegate";
import {
  type Call,
  type Common,
  common,
  given,
  holds,
  nameOf,
  type Pause,
  Run,
  someSignal,
  stepsOf,
  time,
  walk,
} from "./theorem.js";

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"] as const;
type Name = (typeof NAMES)[number];
type Policy = "skip" | "run";

type Step =
  | Common
  | {
      do: "add";
      id: Name;
      dependsOn: readonly Name[];
      priority: number;
      weight: number;
      onFailure: Policy | undefined;
    }
  | { do: "execute"; concurrency: number; onFailure: Policy | undefined; signal: number | undefined }
  | { do: "complete" | "fail"; which: number }
  | { do: "cancel"; id: Name }
  | { do: "close" };

const name = fc.constantFrom(...NAMES);
const policy = fc.constantFrom<Policy | undefined>(undefined, undefined, "skip", "run");

const add = fc.record({
  do: fc.constant("add" as const),
  id: name,
  dependsOn: fc.uniqueArray(name, { maxLength: 3 }),
  priority: fc.constantFrom(0, 0, 0, 5, -5),
  weight: fc.constantFrom(1, 1, 1, 2, 9),
  onFailure: policy,
});

const execute = fc.record({
  do: fc.constant("execute" as const),
  concurrency: fc.integer({ min: 1, max: 4 }),
  onFailure: policy,
  signal: someSignal,
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: common },
  { weight: 6, arbitrary: add },
  { weight: 3, arbitrary: execute },
  {
    weight: 9,
    arbitrary: fc.record({
      do: fc.constantFrom("complete" as const, "complete" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), id: name }) },
  // Rarely: after it there is little to see.
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "turn" }, { do: "turn" }, { do: "close" }) },
);

const OVER: readonly GraphTaskState[] = ["succeeded", "failed", "skipped", "cancelled"];

/** A task, as the model sees it. */
interface Task {
  readonly id: Name;
  readonly dependsOn: readonly Name[];
  readonly priority: number;
  readonly weight: number;
  readonly onFailure: Policy | undefined;
  state: GraphTaskState;
  because?: Name;
  /** What its report gives as its error. */
  error?: string;
  /** When it became ready, among all. */
  ready: number;
  holds: number;
  context?: TaskContext;
  settle?: (well: boolean) => void;
  settled: boolean;
}

interface Execution {
  readonly call: Call;
  readonly signal: number | undefined;
  expected: "report" | string | undefined;
}

class Model extends Run {
  readonly graph = new TaskGraph();
  readonly tasks = new Map<Name, Task>();
  readonly executions: Execution[] = [];
  /** Where each task is, as the graph tells it. */
  readonly told = new Map<string, GraphTaskState>();
  current: Execution | undefined;
  slots = 0;
  usual: Policy = "skip";
  closed = false;
  brought: { task: Task; well: boolean }[] = [];
  #arrivals = 0;

  constructor() {
    super();
    this.graph.on("state", ({ id, from, to }) => {
      this.see(() => assert.equal(this.told.get(id) ?? "waiting", from));
      this.told.set(id, to);
    });
  }

  async pause(one: Pause): Promise<void> {
    this.land();
    await time.pause(one);
    this.look();
    for (const { call, expected } of this.executions) {
      const { ended } = call;
      if (expected === undefined || ended === undefined) assert.equal(ended, expected);
      else if ("threw" in ended) assert.equal(ended.threw, expected);
      else assert.equal(expected, "report");
    }
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        if (this.current?.signal === one.which) this.give("aborted");
        break;
      case "add":
        this.add(one);
        break;
      case "execute":
        this.execute(one);
        break;
      case "complete":
      case "fail": {
        const running = [...this.tasks.values()].filter(
          ({ settle, settled }) => settle !== undefined && !settled,
        );
        const task = running[one.which % Math.max(1, running.length)];
        if (task === undefined) break;
        task.settled = true;
        task.settle?.(one.do === "complete");
        this.brought.push({ task, well: one.do === "complete" });
        break;
      }
      case "cancel": {
        const task = this.tasks.get(one.id);
        const open = task !== undefined && !OVER.includes(task.state);
        assert.equal(this.graph.cancel(one.id, new Error("cancelled")), open && !this.closed);
        if (!open || this.closed) break;
        task.error = "cancelled";
        this.over(task, "cancelled");
        this.start();
        this.finish();
        break;
      }
      case "close":
        this.graph.close();
        if (this.closed) break;
        this.closed = true;
        this.give("ClosedError");
    }
    this.look();
  }

  add({ do: _, ...one }: Extract<Step, { do: "add" }>): void {
    const task: Task = { ...one, state: "waiting", ready: 0, holds: 0, settled: false };
    const run = (context: TaskContext, results: Results) => {
      task.context = context;
      const succeeded = one.dependsOn.filter((id) => this.tasks.get(id)?.state === "succeeded");
      this.see(() =>
        assert.deepEqual({ ...results }, Object.fromEntries(succeeded.map((id) => [id, `of ${id}`]))),
      );
      return new Promise<string>((resolve, reject) => {
        task.settle = (well) => (well ? resolve(`of ${one.id}`) : reject(new Error("failed")));
      });
    };
    const wrong = this.wrong(task);
    const attempt = () => this.graph.add(one.id, { ...given(one), run });
    if (wrong !== undefined) {
      assert.throws(attempt, { name: wrong });
      return;
    }
    this.tasks.set(one.id, task);
    if (this.current !== undefined) {
      this.begin(task);
      this.start();
    }
    attempt();
    this.finish();
  }

  /** What is wrong with a task that is to be added. */
  wrong(task: Task): string | undefined {
    if (this.closed) return "ClosedError";
    if (this.tasks.has(task.id)) return "TypeError";
    const seen = new Set<Name>();
    const reaches = (id: Name): boolean => {
      if (id === task.id) return true;
      if (seen.has(id)) return false;
      seen.add(id);
      return this.tasks.get(id)?.dependsOn.some(reaches) ?? false;
    };
    if (task.dependsOn.some(reaches)) return "CycleError";
    if (this.current !== undefined && task.dependsOn.some((id) => !this.tasks.has(id))) return "TypeError";
    return undefined;
  }

  execute({ concurrency, onFailure, signal }: Extract<Step, { do: "execute" }>): void {
    const isAborted = this.isAborted(signal);
    const all = [...this.tasks.values()];
    const execution = (expected?: string) => {
      const options = given({ concurrency, onFailure, ...this.signal(signal) });
      const call = this.call(this.graph.execute(options), (report) => this.see(() => this.reported(report)));
      const one: Execution = { call, signal, expected };
      this.executions.push(one);
      return one;
    };
    if (this.closed) execution("ClosedError");
    else if (this.current !== undefined) execution("The graph `graph` is being executed already");
    else if (isAborted) execution("aborted");
    else {
      this.usual = onFailure ?? "skip";
      this.slots = concurrency;
      if (all.some(({ dependsOn }) => dependsOn.some((id) => !this.tasks.has(id)))) execution("TypeError");
      else {
        // The model is ahead: tasks that start in this call find in it what they are to be given.
        const current: { expected: string | undefined; call?: Call; signal: number | undefined } = {
          expected: undefined,
          signal,
        };
        this.current = current as Execution;
        for (const task of all) this.begin(task);
        this.start();
        const made = execution();
        this.executions.pop();
        this.current = Object.assign(current, { call: made.call }) as Execution;
        this.executions.push(this.current);
        this.finish();
      }
    }
  }

  /** A waiting task may be ready, or in vain. */
  begin(task: Task): void {
    if (task.state !== "waiting") return;
    // The one that was added first, of those that there are.
    const failed = [...this.tasks.values()].find(
      ({ id, state }) => task.dependsOn.includes(id) && OVER.includes(state) && state !== "succeeded",
    );
    if (failed !== undefined && this.skips(task)) this.over(task, "skipped", failed.because ?? failed.id);
    else if (task.dependsOn.every((id) => OVER.includes(this.tasks.get(id)?.state ?? "waiting")))
      this.enter(task);
  }

  enter(task: Task): void {
    this.#arrivals += 1;
    task.state = "ready";
    task.ready = this.#arrivals;
  }

  skips({ onFailure }: Task): boolean {
    return (onFailure ?? this.usual) === "skip";
  }

  /** Higher priority first, then who was ready first; who needs more slots than are free holds up those behind. */
  start(): void {
    for (;;) {
      const line = [...this.tasks.values()].filter(({ state }) => state === "ready");
      const [head] = line.sort((one, other) => other.priority - one.priority || one.ready - other.ready);
      if (head === undefined) return;
      const weight = Math.min(head.weight, this.slots);
      const inUse = [...this.tasks.values()].reduce((sum, { holds }) => sum + holds, 0);
      if (inUse + weight > this.slots) return;
      head.state = "running";
      head.holds = weight;
    }
  }

  /** A task is over, and with it those for which there is no hope. */
  over(task: Task, state: GraphTaskState, because?: Name): void {
    if (OVER.includes(task.state)) return;
    task.state = state;
    task.holds = 0;
    if (because !== undefined) task.because = because;
    const inVain: Task[] = [];
    for (const other of this.tasks.values()) {
      if (other.state !== "waiting" || !other.dependsOn.includes(task.id)) continue;
      if (state !== "succeeded" && this.skips(other)) inVain.push(other);
      else if (
        this.current !== undefined &&
        other.dependsOn.every((id) => OVER.includes(this.tasks.get(id)?.state ?? "waiting"))
      )
        this.enter(other);
    }
    for (const other of inVain) this.over(other, "skipped", because ?? task.id);
  }

  /** Promises settle: the tasks that did end, in the order in which they did. */
  land(): void {
    for (const { task, well } of this.brought.splice(0)) {
      if (task.state !== "running") continue;
      if (!well) task.error = "failed";
      this.over(task, well ? "succeeded" : "failed");
      this.start();
      this.finish();
    }
  }

  finish(): void {
    if (this.current === undefined) return;
    if (![...this.tasks.values()].every(({ state }) => OVER.includes(state))) return;
    this.current.expected = "report";
    this.current = undefined;
  }

  /** All is given up. */
  give(why: string): void {
    for (const task of this.tasks.values()) {
      if (OVER.includes(task.state)) continue;
      task.state = "cancelled";
      task.error = why;
      task.holds = 0;
    }
    if (this.current !== undefined) this.current.expected = why;
    this.current = undefined;
  }

  /** In the same tick every task is where it should be. */
  look(): void {
    const states = [...this.tasks].map(([id, { state }]) => [id, state]);
    assert.deepEqual(
      [...this.tasks.keys()].map((id) => [id, this.told.get(id) ?? "waiting"]),
      states,
    );
    const { name: _, ...counts } = this.graph.metrics();
    for (const [state, count] of Object.entries(counts))
      assert.equal(count, states.filter(([, each]) => each === state).length, state);
    for (const { state, context } of this.tasks.values()) {
      assert.ok(state !== "running" || context !== undefined, "what runs was called");
      assert.ok(
        !["waiting", "ready", "skipped"].includes(state) || context === undefined,
        "nothing else was",
      );
      if (state === "cancelled" && context !== undefined)
        assert.ok(context.signal.aborted, "and is told when it is over");
    }
  }

  reported({ results, tasks, total }: GraphReport): void {
    assert.equal(total, tasks.length);
    for (const { id, state, because, error, value } of tasks) {
      const task = this.tasks.get(id as Name);
      assert.deepEqual([state, because], [task?.state, task?.because]);
      assert.equal(value, state === "succeeded" ? `of ${id}` : undefined);
      assert.equal(results[id], value);
      assert.equal(error === undefined ? undefined : nameOf(error), task?.error);
    }
  }
}

test("every task of a graph is where the model says, whatever is added, cancelled, aborted and closed", async () => {
  // Some to begin with, so that there is something to see.
  const steps = fc
    .tuple(fc.array(add, { maxLength: 6 }), stepsOf(step))
    .map(([some, more]): Step[] => [...some, ...more]);
  await holds(500, steps, async (steps) => {
    const model = new Model();
    await walk(model, [...steps, { do: "turn" }]);
    while (model.current !== undefined && [...model.tasks.values()].some(({ state }) => state === "running"))
      await walk<Step>(model, [{ do: "complete", which: 0 }, { do: "turn" }]);
    assert.equal(model.current, undefined, "an execution ends with its tasks");
    await walk<Step>(model, [{ do: "close" }, { do: "turn" }]);
    model.end();
  });
});
