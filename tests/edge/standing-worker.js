/** Handles at module scope under a clock that stands still until it is moved; the timers of the platform go on. */

import { CircuitBreaker, isBrokenCircuitError, Pool, RateLimiter } from "tidegate";

const pool = new Pool({ concurrency: 2 });
const rated = new Pool({ concurrency: 4, rate: { kind: "sliding-window", limit: 5, per: 1000 } });
const bucket = new RateLimiter({ kind: "token-bucket", limit: 3, per: 1000 });
const window = new RateLimiter({ kind: "sliding-window", limit: 3, per: 1000 });
const breaker = new CircuitBreaker({ consecutive: 3, openFor: 1000 });
const waiting = new RateLimiter({ kind: "token-bucket", limit: 3, per: 1000 });
const guarded = new Pool({ concurrency: 4, breaker: { consecutive: 3, openFor: 1000 } });
let passed = 0;
const adaptive = new Pool({ concurrency: { algorithm: "gradient", initial: 7, min: 1, max: 50 } });
const running = new Map();
const most = new Map();
let isUp = false;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function counted(where = pool) {
  const now = (running.get(where) ?? 0) + 1;
  running.set(where, now);
  most.set(where, Math.max(most.get(where) ?? 0, now));
  await sleep(1);
  running.set(where, running.get(where) - 1);
  return "ran";
}

const routes = {
  move: async (ms) => {
    globalThis.moveClock(Number(ms));
    return "moved";
  },
  pool: () => pool.run(() => counted()),
  bucket: async () => String(bucket.tryAcquire()),
  window: async () => String(window.tryAcquire()),
  rated: () => rated.tryRun(async () => "ran") ?? "no room",
  breaker: async () => {
    try {
      return await breaker.run(async () => {
        await sleep(5);
        if (!isUp) throw new Error("down");
        return "ran";
      });
    } catch (error) {
      return isBrokenCircuitError(error) ? "refused" : "failed";
    }
  },
  up: async () => {
    isUp = true;
    return "up";
  },
  acquire: async () => {
    await waiting.acquire();
    passed += 1;
    return "passed";
  },
  passed: async () => JSON.stringify({ passed, waiting: waiting.metrics().waiting }),
  guarded: async (works) => {
    try {
      return await guarded.run(async () => {
        if (works !== "well") throw new Error("down");
        return counted(guarded);
      });
    } catch (error) {
      return isBrokenCircuitError(error) ? "refused" : "failed";
    }
  },
  adaptive: async () => {
    return adaptive.run(() => counted(adaptive));
  },
  seen: async () =>
    JSON.stringify({
      most: most.get(pool),
      active: pool.active,
      queued: pool.queued,
      adaptive: adaptive.concurrency,
      mostAdaptive: most.get(adaptive),
    }),
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const [, what, ms] = new URL(request.url).pathname.split("/");
    return new Response(await routes[what](ms));
  },
};
