/**
 * A breaker before several pools, with the real wasm: never more probes out than told, never a call while it is open, and
 * everybody is answered once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CircuitBreaker, isBrokenCircuitError, Pool } from "tidegate";

type Step =
  | { do: "run"; pool: number; signal: number | undefined }
  | { do: "succeed" | "fail"; which: number }
  | { do: "abort"; which: number }
  | { do: "isolate" | "lift" | "turn" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("run" as const),
      pool: fc.nat(1),
      signal: fc.option(fc.nat(3), { nil: undefined }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("succeed" as const, "fail" as const, "fail" as const),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(3) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        "isolate" as const,
        "lift" as const,
        "lift" as const,
        "turn" as const,
        "turn" as const,
      ),
    }),
  },
);

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

test("a breaker never lets a stampede through, whatever happens in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(3, 60_000),
      fc.constantFrom("closed" as const, "half-open" as const),
      fc.array(step, { minLength: 1, maxLength: 60, size: "max" }),
      async (consecutive, probes, successes, openFor, state, steps) => {
        // Where it opens for a moment only, a probe's permit passes on as soon: then they are not counted here.
        const options = { consecutive, openFor, halfOpen: { probes, successes } };
        const breaker = CircuitBreaker.from({ state, openFor: 0, consecutive: 0, openings: 1 }, options);
        const pools = [1, 3].map((concurrency) => new Pool({ concurrency, breaker }));
        const controllers = Array.from({ length: 4 }, () => new AbortController());
        const lifts: (() => void)[] = [];
        const calls: { settled: number; error?: unknown }[] = [];
        const running = new Set<{ resolve(value: unknown): void; reject(error: unknown): void }>();
        // Probes that are out, each until it settles or is cancelled.
        let out: object[] = [];
        breaker.on("change", () => {
          out = [];
        });
        for (const one of steps) {
          if (one.do === "run") {
            const call: { settled: number; error?: unknown } = { settled: 0 };
            calls.push(call);
            const signal = one.signal === undefined ? undefined : controllers[one.signal]?.signal;
            pools[one.pool]
              ?.run(
                () => {
                  const seen = breaker.state;
                  assert.ok(seen === "closed" || seen === "half-open", `called while ${seen}`);
                  const probe = {};
                  if (seen === "half-open") {
                    out.push(probe);
                    assert.ok(
                      openFor === 3 || out.length <= probes,
                      `${out.length} probes of ${probes} are out`,
                    );
                  }
                  return new Promise((resolve, reject) => {
                    const end = { resolve, reject };
                    running.add(end);
                    const gone = () => {
                      out = out.filter((other) => other !== probe);
                    };
                    signal?.addEventListener("abort", gone, { once: true });
                  }).finally(() => {
                    out = out.filter((other) => other !== probe);
                  });
                },
                signal === undefined ? {} : { signal },
              )
              .then(
                () => {
                  call.settled += 1;
                },
                (error: unknown) => {
                  call.settled += 1;
                  call.error = error;
                },
              );
          } else if (one.do === "succeed" || one.do === "fail") {
            const ends = [...running];
            const end = ends[one.which % Math.max(1, ends.length)];
            if (end === undefined) continue;
            running.delete(end);
            if (one.do === "succeed") end.resolve("fine");
            else end.reject(new Error("failed"));
            await turn();
          } else if (one.do === "abort") controllers[one.which]?.abort(new Error("aborted"));
          else if (one.do === "isolate") lifts.push(breaker.isolate());
          else if (one.do === "lift") lifts.pop()?.();
          else await turn();
          if (breaker.state === "open" || breaker.state === "isolated")
            for (const pool of pools) assert.equal(pool.queued, 0, "who waits is told at once");
        }
        for (
          let turns = 0;
          turns < 100 && (running.size > 0 || calls.some(({ settled }) => settled === 0));
          turns += 1
        ) {
          for (const end of running) end.resolve("end");
          running.clear();
          await turn();
        }
        assert.ok(
          calls.every(({ settled }) => settled === 1),
          "everybody is answered once",
        );
        for (const { error } of calls)
          assert.ok(
            error === undefined ||
              isBrokenCircuitError(error) ||
              /^(failed|aborted)$/.test((error as Error).message),
            String(error),
          );
        for (const pool of pools) assert.deepEqual([pool.active, pool.queued, pool.abandoned], [0, 0, 0]);
      },
    ),
    { numRuns: Number(process.env.TIDEGATE_MODEL_RUNS ?? 200) },
  );
});
