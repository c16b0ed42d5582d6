/**
 * A worker whose requests can die without a word, as they do when their client leaves and the platform ends them: from then on nothing that
 * they set in motion happens. A workerd on this machine would go on with them, so here it is made not to.
 */

import { Cache, LockSet, Pool, RateLimiter } from "tidegate";

/** What the request that is running can die of. */
let grave;
let graves = [];
const { setTimeout: after } = globalThis;
const { then } = Promise.prototype;

function mortal(fn) {
  const own = grave;
  if (own === undefined || typeof fn !== "function") return fn;
  return (...args) => {
    if (own.isDead) return undefined;
    const before = grave;
    grave = own;
    try {
      return fn(...args);
    } finally {
      grave = before;
    }
  };
}

globalThis.setTimeout = (fn, ms) => after(mortal(fn), ms);
// biome-ignore lint/suspicious/noThenProperty: what a promise does next dies with its request.
Promise.prototype.then = function (done, failed) {
  return then.call(this, mortal(done), mortal(failed));
};

/** Calls `fn` in a request that will die. */
function doomed(fn) {
  const own = { isDead: false };
  graves.push(own);
  grave = own;
  try {
    return fn();
  } finally {
    grave = undefined;
  }
}

const sleep = (ms) => new Promise((resolve) => after(resolve, ms));
let isOpen = false;

async function opened() {
  while (!isOpen) await sleep(5);
  return "opened";
}

const waiting = new Pool({ name: "waiting", concurrency: 2 });
const holding = new Pool({ name: "holding", concurrency: 2, leaseTimeout: 300 });
const leases = new Pool({ name: "leases", concurrency: 2, leaseTimeout: 300 });
const passing = new Pool({ name: "passing", concurrency: 3, leaseTimeout: 300 });
const renewals = new Pool({ name: "renewals", concurrency: 2, leaseTimeout: 60_000 });
const locks = new LockSet();
const limiter = new RateLimiter({ kind: "token-bucket", limit: 1, per: 20 });
const cache = new Cache({ share: "isolate" });

const pools = { waiting, holding, leases, passing, renewals };
const never = () => new Promise(() => {});

const routes = {
  hold: () => waiting.run(opened),
  wait: () => doomed(() => waiting.run(() => "too late")),
  live: () => waiting.run(() => "served"),
  "hold-for-ever": () => doomed(() => holding.run(never)),
  "hold-passing": () =>
    doomed(async () => {
      // From here on the next need not ask.
      await passing.run(() => "first");
      return passing.run(never);
    }),
  "live-after-passing": () => passing.run(() => "served"),
  "hold-renewed": () =>
    doomed(() =>
      renewals.run(({ lease }) => {
        lease.renew(300);
        return never();
      }),
    ),
  "live-after-renewals": () => renewals.run(() => "served"),
  "live-after-holders": () => holding.run(() => "served"),
  async "lease-for-ever"() {
    await doomed(() => leases.acquire());
    return never();
  },
  async "live-after-leases"() {
    const lease = await leases.acquire();
    lease.release();
    return "served";
  },
  async "hold-lock"() {
    const lease = await locks.acquire("a");
    await opened();
    lease.release();
    return "opened";
  },
  "wait-lock": () => doomed(() => locks.acquire("a", { timeout: 60_000 })).then(() => "too late"),
  async "live-lock"() {
    const lease = await locks.acquire("a", { timeout: 60_000 });
    lease.release();
    return "served";
  },
  "wait-limiter": () => doomed(() => limiter.acquire()).then(() => "too late"),
  "live-limiter": () => limiter.acquire().then(() => "served"),
  "wait-load": () => doomed(() => cache.load("key", never)),
  "live-load": () => cache.load("key", () => "served"),
  async bury() {
    for (const each of graves) each.isDead = true;
    const count = graves.length;
    graves = [];
    return String(count);
  },
  async open() {
    isOpen = true;
    return "open";
  },
  async close() {
    isOpen = false;
    return "closed";
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request) {
    const [, what, name] = new URL(request.url).pathname.split("/");
    if (what === "pool") {
      const { active, queued } = pools[name];
      return Response.json({ active, queued });
    }
    if (what === "seen")
      return Response.json({
        doomed: graves.length,
        queued: waiting.queued,
        held: locks.metrics().held,
        locks: locks.metrics().waiting,
        limiter: limiter.metrics().waiting,
      });
    return new Response(await routes[what]());
  },
};
