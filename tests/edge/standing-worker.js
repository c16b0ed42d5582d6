/** Handles at module scope under a clock that stands still until it is moved; the timers of the platform go on. */

import { CircuitBreaker, isBrokenCircuitError, Pool, RateLimiter } from "tidegate";

const pool = new Pool({ concurrency: 2 });
const rated = new Pool({ concurrency: 4, rate: { kind: "sliding-window", limit: 5, per: 1000 } });
const bucket = new RateLimiter({ kind: "token-bucket", limit: 3, per: 1000 });
const window = new RateLimiter({ kind: "sliding-window", limit: 3, per: 1000 });
const breaker = new CircuitBreaker({ consecutive: 3, openFor: 1000 });
const adaptive = new Pool({ concurrency: { algorithm: "gradient", initial: 7, min: 1, max: 50 } });
let running = 0;
let most = 0;
let isUp = false;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function counted() {
  running += 1;
  most = Math.max(most, running);
  await sleep(1);
  running -= 1;
  return "ran";
}

const routes = {
  move: async (ms) => {
    globalThis.moveClock(Number(ms));
    return "moved";
  },
  pool: () => pool.run(counted),
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
  adaptive: () => adaptive.run(counted),
  seen: async () =>
    JSON.stringify({ most, active: pool.active, queued: pool.queued, adaptive: adaptive.concurrency }),
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const [, what, ms] = new URL(request.url).pathname.split("/");
    return new Response(await routes[what](ms));
  },
};
