/**
 * Orchestrators against an exact model, with the real wasm: which plugins are at work after every step, and what each run tells of
 * each plugin, whatever is registered, completed, resized, aborted and closed.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Orchestrator, type PluginResult, type TaskContext } from "tidegate";
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

const NAMES = ["a", "b", "c", "d", "e", "f"] as const;
type Name = (typeof NAMES)[number];
type Mode = "passive" | "active";
type Available = "unasked" | "yes" | "no" | "throws";

interface Known {
  readonly id: Name;
  readonly mode: Mode;
  readonly priority: number;
  readonly weight: number;
  readonly needs: readonly Name[];
  readonly available: Available;
}

type Step =
  | Common
  | ({ readonly do: "register" } & Known)
  | {
      readonly do: "run";
      readonly mode: Mode | undefined;
      readonly maxWorkers: number | undefined;
      readonly signal: number | undefined;
    }
  | { readonly do: "complete" | "fail"; readonly which: number }
  | { readonly do: "resize"; readonly maxWorkers: number }
  | { readonly do: "close" };

const name = fc.constantFrom(...NAMES);
const workers = fc.integer({ min: 1, max: 4 });

const register = fc.record({
  do: fc.constant("register" as const),
  id: name,
  mode: fc.constantFrom<Mode>("passive", "passive", "active"),
  priority: fc.constantFrom(0, 0, 0, 7, -7),
  weight: fc.constantFrom(1, 1, 1, 2, 9),
  needs: fc.uniqueArray(name, { maxLength: 2 }),
  available: fc.constantFrom<Available>("unasked", "unasked", "unasked", "yes", "no", "throws"),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: common },
  { weight: 3, arbitrary: register },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("run" as const),
      mode: fc.constantFrom<Mode | undefined>(undefined, "passive", "active", "active"),
      maxWorkers: fc.option(workers, { nil: undefined }),
      signal: someSignal,
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constantFrom("complete" as const, "complete" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resize" as const), maxWorkers: workers }) },
  // Rarely: after it there is little to see.
  { weight: 1, arbitrary: fc.constantFrom<Step>({ do: "turn" }, { do: "turn" }, { do: "close" }) },
);

type State = "waiting" | "ready" | "running" | PluginResult["status"];

/** A plugin in a run. */
interface Part extends Known {
  state: State;
  ready: number;
  holds: number;
  began: number | null;
  context?: TaskContext;
  settle?: (well: boolean) => void;
  settled: boolean;
  /** The one to blame, where it was skipped. */
  because?: Name | undefined;
}

/** One run, as the model sees it: the target that its plugins are given. */
class Pass {
  readonly parts: Part[];
  readonly signal: number | undefined;
  readonly numberOf: (name: Name) => number;
  slots: number;
  begun = false;
  call: Call | undefined;
  expected: "results" | string | undefined;
  #arrivals = 0;
  // What the run has still to be told, in order.
  readonly #wakes: (() => void)[] = [];

  constructor(parts: Part[], slots: number, signal: number | undefined, numberOf: (name: Name) => number) {
    this.parts = parts;
    this.slots = slots;
    this.signal = signal;
    this.numberOf = numberOf;
  }

  /** Everybody has said whether it is available. */
  begin(): void {
    this.begun = true;
    for (const part of this.parts) if (part.available === "no") part.state = "unavailable";
    for (const part of this.parts) this.#look(part);
    this.start();
  }

  /** A waiting plugin may be ready, or in vain. */
  #look(part: Part): void {
    if (part.state !== "waiting") return;
    const needed = part.needs.map((need) => this.stateOf(need));
    if (needed.some((state) => isOver(state) && state !== "succeeded")) {
      part.state = "skipped";
      this.#wakes.push(() => {
        part.because = this.#blamed(part);
      });
      for (const other of this.parts) if (other.needs.includes(part.id)) this.#look(other);
    } else if (needed.every((state) => state === "succeeded")) {
      this.#arrivals += 1;
      part.state = "ready";
      part.ready = this.#arrivals;
    }
  }

  /** Where a plugin is; one that does not take part will never give anything. */
  stateOf(id: Name): State {
    return this.parts.find((part) => part.id === id)?.state ?? "unavailable";
  }

  /** Higher priority first, then who was ready first; who needs more workers than are free holds up those behind. */
  start(): void {
    for (;;) {
      const line = this.parts.filter(({ state }) => state === "ready");
      const [head] = line.sort((one, other) => other.priority - one.priority || one.ready - other.ready);
      const busy = this.parts.reduce((sum, part) => sum + part.holds, 0);
      const weight = Math.min(head?.weight ?? 0, this.slots);
      if (head === undefined || busy + weight > this.slots) break;
      head.state = "running";
      head.holds = weight;
      // The question whether it is available was its chance to fail.
      if (head.available === "throws") this.#wakes.push(() => this.over(head, "failed"));
    }
    for (let wake = this.#wakes.shift(); wake !== undefined; wake = this.#wakes.shift()) wake();
    if (this.parts.every(({ state }) => isOver(state))) this.expected ??= "results";
  }

  over(part: Part, state: "succeeded" | "failed"): void {
    part.state = state;
    part.holds = 0;
    for (const other of this.parts) if (other.needs.includes(part.id)) this.#look(other);
    this.start();
  }

  give(why: string): void {
    if (this.expected !== undefined) return;
    this.expected = why;
    for (const part of this.parts) part.holds = 0;
  }

  /** Which plugin is to blame: of several needs that are lost by then, the one that was named first of all. */
  #blamed({ needs }: Part): Name | undefined {
    const [first] = needs
      .filter((need) => isOver(this.stateOf(need)) && this.stateOf(need) !== "succeeded")
      .sort((one, other) => this.numberOf(one) - this.numberOf(other));
    const part = this.parts.find(({ id }) => id === first);
    return part?.state === "skipped" ? this.#blamed(part) : first;
  }
}

function isOver(state: State): boolean {
  return state !== "waiting" && state !== "ready" && state !== "running";
}

class Model extends Run {
  readonly orchestrator = new Orchestrator<Pass>();
  readonly known: Known[] = [];
  readonly passes: Pass[] = [];
  /** Names in the order in which they were first heard of. */
  readonly heard: Name[] = [];
  readonly told = new Map<Pass, string[]>();
  brought: { pass: Pass; part: Part; well: boolean }[] = [];
  maxWorkers = 5;
  closed = false;

  constructor() {
    super();
    this.orchestrator.on("result", ({ plugin, target }) => {
      const told = this.told.get(target) ?? [];
      this.told.set(target, [...told, plugin]);
    });
  }

  async pause(one: Pause): Promise<void> {
    const turned = time.turn();
    for (const { pass, part, well } of this.brought.splice(0))
      if (pass.expected === undefined) pass.over(part, well ? "succeeded" : "failed");
    for (const pass of this.open()) if (!pass.begun) pass.begin();
    for (const pass of this.passes)
      for (const part of pass.parts) if (part.state === "running") part.began ??= time.now();
    await turned;
    await time.pause(one);
    this.look();
    for (const { call, expected } of this.passes) {
      const ended = call?.ended;
      if (expected === undefined || ended === undefined) assert.equal(ended, expected);
      else if ("threw" in ended) assert.equal(ended.threw, expected);
      else assert.equal(expected, "results");
    }
  }

  open(): Pass[] {
    return this.passes.filter(({ expected }) => expected === undefined);
  }

  take(one: Exclude<Step, Pause>): void {
    switch (one.do) {
      case "abort":
        this.abort(one.which);
        for (const pass of this.open()) if (pass.signal === one.which) pass.give("aborted");
        break;
      case "register":
        this.register(one);
        break;
      case "run":
        this.run(one);
        break;
      case "complete":
      case "fail": {
        const working = this.open().flatMap((pass) =>
          pass.parts.filter(({ settle, settled }) => settle && !settled).map((part) => ({ pass, part })),
        );
        const chosen = working[one.which % Math.max(1, working.length)];
        if (chosen === undefined) break;
        const well = one.do === "complete";
        chosen.part.settled = true;
        chosen.part.settle?.(well);
        this.brought.push({ ...chosen, well });
        break;
      }
      case "resize":
        this.orchestrator.resize(one.maxWorkers);
        this.maxWorkers = one.maxWorkers;
        for (const pass of this.open()) {
          pass.slots = one.maxWorkers;
          if (!pass.begun) continue;
          pass.start();
          for (const part of pass.parts) if (part.state === "running") part.began ??= time.now();
        }
        break;
      case "close":
        this.orchestrator.close();
        this.closed = true;
        for (const pass of this.open()) pass.give("ClosedError");
    }
    this.look();
  }

  register({ do: _, ...known }: Extract<Step, { do: "register" }>): void {
    const { id, available, ...rest } = known;
    const plugin = {
      ...rest,
      name: id,
      ...given({ available: available === "unasked" ? undefined : () => this.answer(available) }),
      run: (target: Pass, context: TaskContext, results: Readonly<Record<string, unknown>>) =>
        this.work(id, target, context, results),
    };
    const wrong = this.wrong(known);
    if (wrong !== "ClosedError")
      for (const one of [...known.needs, id]) if (!this.heard.includes(one)) this.heard.push(one);
    if (wrong !== undefined) assert.throws(() => this.orchestrator.register(plugin), { name: wrong });
    else {
      this.orchestrator.register(plugin);
      this.known.push(known);
    }
  }

  answer(available: Available): boolean | Promise<boolean> {
    if (available === "throws") throw new Error("no answer");
    return available === "yes" ? Promise.resolve(true) : false;
  }

  wrong({ id, needs }: Known): string | undefined {
    if (this.closed) return "ClosedError";
    if (this.known.some((other) => other.id === id)) return "TypeError";
    const seen = new Set<Name>();
    const reaches = (need: Name): boolean => {
      if (need === id) return true;
      if (seen.has(need)) return false;
      seen.add(need);
      return this.known.find((other) => other.id === need)?.needs.some(reaches) ?? false;
    };
    return needs.some(reaches) ? "CycleError" : undefined;
  }

  work(
    id: Name,
    pass: Pass,
    context: TaskContext,
    results: Readonly<Record<string, unknown>>,
  ): Promise<string> | undefined {
    return this.see(() => {
      const part = pass.parts.find((one) => one.id === id);
      assert.ok(
        part !== undefined && part.context === undefined,
        `${id} is called once, where it takes part`,
      );
      part.context = context;
      assert.deepEqual(
        { ...results },
        Object.fromEntries(part.needs.map((need) => [need, `of ${need}`])),
        "it is handed what it needs",
      );
      return new Promise<string>((resolve, reject) => {
        part.settle = (well) => (well ? resolve(`of ${id}`) : reject(new Error("failed")));
      });
    });
  }

  run({ mode, maxWorkers, signal }: Extract<Step, { do: "run" }>): void {
    const parts = this.known
      .filter((known) => known.mode === "passive" || mode === "active")
      .map(
        (known): Part => ({ ...known, state: "waiting", ready: 0, holds: 0, began: null, settled: false }),
      );
    const numberOf = (one: Name) => this.heard.indexOf(one);
    const pass = new Pass(parts, maxWorkers ?? this.maxWorkers, signal, numberOf);
    if (this.closed) pass.give("ClosedError");
    else if (this.isAborted(signal)) pass.give("aborted");
    this.passes.push(pass);
    const options = given({ mode, maxWorkers, ...this.signal(signal) });
    pass.call = this.call(this.orchestrator.run(pass, options), (results) => this.gave(pass, results));
  }

  /** Each that takes part has one result, in the order of registration. */
  gave(pass: Pass, results: readonly PluginResult<Pass>[]): void {
    assert.deepEqual(
      results.map(({ plugin, status, because }) => [plugin, status, because]),
      pass.parts.map(({ id, state, because }) => [id, state, because]),
    );
    for (const [at, { plugin, value, error, duration }] of results.entries()) {
      const part = pass.parts[at];
      assert.equal(value, part?.state === "succeeded" ? `of ${plugin}` : undefined);
      const expected = part?.available === "throws" ? "no answer" : "failed";
      assert.equal(error && nameOf(error), part?.state === "failed" ? expected : undefined);
      assert.equal(duration === null, part?.context === undefined, "only what ran has a duration");
    }
    assert.deepEqual([...(this.told.get(pass) ?? [])].sort(), pass.parts.map(({ id }) => id).sort());
  }

  /** Whoever should be at work is, and nobody else. */
  look(): void {
    let running = 0;
    for (const pass of this.passes) {
      for (const { state, context, id } of pass.parts) {
        if (!pass.begun || state === "waiting" || state === "ready" || state === "skipped")
          assert.equal(context, undefined, `${id} is not called while it is ${state}`);
        else if (state === "running") assert.ok(context !== undefined, `${id} is called`);
        if (pass.expected !== undefined && pass.expected !== "results" && state === "running")
          assert.ok(context?.signal.aborted, `${id} is told that it is over`);
        if (pass.expected === undefined && state === "running") running += 1;
      }
    }
    assert.equal(this.orchestrator.metrics().running, running);
    assert.equal(this.orchestrator.metrics().plugins, this.known.length);
  }
}

test("every plugin of every run is where the model says, and has one result, whatever happens meanwhile", async () => {
  // Some to begin with, so that there is something to see.
  const steps = fc
    .tuple(fc.array(register, { maxLength: 6 }), stepsOf(step))
    .map(([some, more]): Step[] => [...some, ...more]);
  await holds(500, steps, async (steps) => {
    const model = new Model();
    await walk<Step>(model, [...steps, { do: "turn" }]);
    while (model.open().some(({ parts }) => parts.some(({ state }) => state === "running")))
      await walk<Step>(model, [{ do: "complete", which: 0 }, { do: "turn" }]);
    assert.equal(model.open().length, 0, "a run ends with its plugins");
    await walk<Step>(model, [{ do: "close" }, { do: "turn" }]);
    model.end();
  });
});
