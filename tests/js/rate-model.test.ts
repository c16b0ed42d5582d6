/**
 * A rate limiter against a model, with the real wasm and the real clock: everybody is answered once, no window holds
 * more than its limit, nobody is overtaken, and nothing is left behind.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRateLimitedError, RateLimiter } from "tidegate";

type Step =
  | { do: "acquire"; cost: number; timeout: number | undefined; signal: number | undefined }
  | { do: "tryAcquire"; cost: number }
  | { do: "abort"; which: number }
  | { do: "coolDown"; ms: number }
  | { do: "turn" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("acquire" as const),
      cost: fc.integer({ min: 0, max: 3 }),
      timeout: fc.constantFrom(undefined, undefined, 0, 2, 20),
      signal: fc.option(fc.nat(2), { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("tryAcquire" as const), cost: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), which: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("coolDown" as const), ms: fc.integer({ min: 0, max: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("turn" as const) }) },
);

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

interface Request {
  readonly cost: number;
  readonly asked: number;
  settled: number;
  passedAt: number | undefined;
  error: unknown;
}

test("a limiter keeps its promises, whatever is asked in whatever order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("token-bucket" as const, "sliding-window" as const),
      fc.integer({ min: 3, max: 6 }),
      fc.array(step, { minLength: 1, maxLength: 40 }),
      async (kind, limit, steps) => {
        const per = 10;
        const limiter = new RateLimiter({ kind, limit, per });
        const controllers = Array.from({ length: 3 }, () => new AbortController());
        const requests: Request[] = [];
        const inLine: Request[] = [];
        const began = performance.now();
        const pass = (request: Request) => {
          request.settled += 1;
          request.passedAt = performance.now();
        };
        for (const one of steps) {
          if (one.do === "turn") await turn();
          else if (one.do === "abort") controllers[one.which]?.abort(new Error("aborted"));
          else if (one.do === "coolDown") limiter.coolDown(one.ms);
          else {
            const request: Request = {
              cost: one.cost,
              asked: performance.now(),
              settled: 0,
              passedAt: undefined,
              error: undefined,
            };
            requests.push(request);
            if (one.do === "tryAcquire") {
              if (limiter.tryAcquire(one.cost)) pass(request);
              else request.settled += 1;
              continue;
            }
            inLine.push(request);
            const signal = one.signal === undefined ? undefined : controllers[one.signal]?.signal;
            limiter
              .acquire(one.cost, {
                ...(one.timeout === undefined ? {} : { timeout: one.timeout }),
                ...(signal === undefined ? {} : { signal }),
              })
              .then(
                () => pass(request),
                (error: unknown) => {
                  request.settled += 1;
                  request.error = error;
                },
              );
          }
        }
        for (let turns = 0; turns < 500 && requests.some(({ settled }) => settled === 0); turns += 1)
          await turn();
        const { waiting, requests: asked, allowed, denied, cancelled } = limiter.metrics();
        limiter.close();
        await turn();

        assert.ok(
          requests.every(({ settled }) => settled === 1),
          "everybody is answered once",
        );
        assert.deepEqual([waiting, allowed + denied + cancelled], [0, asked]);
        for (const { error } of requests)
          assert.ok(
            error === undefined || isRateLimitedError(error) || (error as Error).message === "aborted",
            String(error),
          );
        const served = inLine.filter(({ passedAt }) => passedAt !== undefined);
        for (let index = 1; index < served.length; index += 1)
          assert.ok(
            (served[index]?.passedAt ?? 0) >= (served[index - 1]?.passedAt ?? 0),
            "first come, first served",
          );
        const passed = requests.filter(({ passedAt }) => passedAt !== undefined);
        const total = passed.reduce((sum, { cost }) => sum + cost, 0);
        const span = Math.max(...passed.map(({ passedAt }) => passedAt ?? 0), began) - began;
        // A bucket lets its burst pass and then its flow; a window its limit in each of the windows the span touches.
        const most =
          kind === "token-bucket" ? limit + (span / per) * limit : limit * (Math.floor(span / per) + 1);
        assert.ok(total <= Math.floor(most + 1e-6), `${total} passed in ${span} ms, at most ${most}`);
      },
    ),
    { numRuns: Number(process.env.TIDEGATE_MODEL_RUNS ?? 100) },
  );
});
