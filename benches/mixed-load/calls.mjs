/**
 * The kinds of calls of a mixed load, and what the policy of each says its answer may be.
 */

import {
  BreakerGroup,
  Cache,
  isBrokenCircuitError,
  isNeverPossibleError,
  isTimeoutError,
  LockSet,
  ObjectPool,
  VersionedState,
} from "tidegate";

/** Milliseconds that one attempt may take. */
export const TIMEOUT = 300;

/** @typedef {{ value: unknown } | { error: unknown }} Answer */

/**
 * @param {import("../../range/range.mjs").Range} range
 * @returns {{ kinds: { name: string, share: number, options?: object, run(ctx): unknown, allows(answer: Answer): boolean }[],
 *   lostUpdates(): number, end(): Promise<void> }}
 */
export function mixedCalls(range, slots) {
  const breakers = new BreakerGroup({ name: "targets", consecutive: 5, openFor: 200 });
  const cache = new Cache({ name: "pages", max: 100, ttl: 200 });
  const state = new VersionedState({ name: "progress", attempts: 1000 });
  const locks = new LockSet({ name: "ledger" });
  const buffers = new ObjectPool({ name: "buffers", create: () => new Uint8Array(1024), max: 8 });
  const ledger = { left: 0, right: 0 };
  let [updates, transfers] = [0, 0];

  const fetched = async (name, ctx) => {
    const response = await fetch(range.url(name), { signal: ctx.signal });
    const text = await response.text();
    if (!response.ok)
      throw Object.assign(new Error(`status ${response.status}`), { status: response.status });
    return text.length;
  };
  const guarded = (name, ctx) => breakers.get(name).run(() => fetched(name, ctx));
  const network = (name, share, allows) => ({
    name: `${name}, over the network`,
    share,
    run: (ctx) => guarded(name, ctx),
    allows,
  });

  return {
    kinds: [
      network("uneven", 8, succeeds),
      network("steady", 6, (answer) => succeeds(answer) || down(answer) || broken(answer)),
      network("flaky-500", 2, (answer) => succeeds(answer) || down(answer) || broken(answer)),
      network("flaky-reset", 2, (answer) => succeeds(answer) || down(answer) || broken(answer)),
      network("fast", 1, (answer) => down(answer) || broken(answer)),
      network("slow", 1, (answer) => late(answer) || broken(answer)),
      network("hanging", 1, (answer) => late(answer) || broken(answer)),
      {
        name: "a page from the cache",
        share: 2,
        run: (ctx) =>
          cache.load(`page ${ctx.id % 20}`, (load) => fetched("uneven", load), { signal: ctx.signal }),
        allows: succeeds,
      },
      {
        name: "an update of shared state across awaits",
        share: 1,
        run: () =>
          state.update("done", async (seen = 0) => {
            await Promise.resolve();
            return seen + 1;
          }),
        allows(answer) {
          updates += 1;
          return succeeds(answer);
        },
      },
      {
        name: "a transfer under two locks",
        share: 1,
        async run() {
          const both = await locks.acquire(["right", "left"], { timeout: 5000 });
          try {
            const { left, right } = ledger;
            await Promise.resolve();
            ledger.left = left - 1;
            ledger.right = right + 1;
            return ledger.right;
          } finally {
            both.release();
          }
        },
        allows(answer) {
          transfers += 1;
          return succeeds(answer);
        },
      },
      {
        name: "work in a buffer that is used again",
        share: 1,
        run: () => buffers.use((buffer) => buffer.fill(1).length),
        allows: ({ value }) => value === 1024,
      },
      {
        name: "a call that is called off",
        share: 1,
        options: () => ({ signal: AbortSignal.timeout(20) }),
        run: (ctx) => fetched("hanging", ctx),
        allows: ({ error }) => error instanceof DOMException && error.name === "TimeoutError",
      },
      {
        name: "a call that can never run",
        share: 1,
        options: () => ({ weight: slots + 1 }),
        run: () => "ran",
        allows: ({ error }) => isNeverPossibleError(error),
      },
    ],
    lostUpdates: () =>
      updates -
      (state.get("done")?.value ?? 0) +
      Math.abs(transfers - ledger.right) +
      Math.abs(transfers + ledger.left),
    end: () => buffers.close(),
  };
}

function succeeds(answer) {
  return typeof answer.value === "number" && answer.value > 0;
}

/** The target failed, and says how. */
function down({ error }) {
  return [500, 503].includes(error?.status) || (error instanceof TypeError && error.cause !== undefined);
}

function broken({ error }) {
  return isBrokenCircuitError(error) && error.retryAfterMs <= 200;
}

function late({ error }) {
  return isTimeoutError(error) && error.limit === TIMEOUT;
}
