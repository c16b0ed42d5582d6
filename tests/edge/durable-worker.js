/** Isolates that share limits by Durable Objects, and an object that can be made to restart. */

import {
  CoordinatorObject as Base,
  durableCoordinator,
  SharedLocks,
  SharedPool,
  SharedState,
} from "tidegate/edge";

export class CoordinatorObject extends Base {
  constructor(state, env) {
    super(state, env);
    this.state = state;
  }

  async fetch(request) {
    if (new URL(request.url).pathname === "/restart") this.state.abort("restart");
    return super.fetch(request);
  }
}

let pool;
let locks;
let state;

const routes = {
  /** So many tasks through the shared pool, each of which is a request to the outside that counts them. */
  async load({ tasks, lanes, gauge }) {
    let left = Number(tasks);
    const lane = async () => {
      while (left-- > 0) await pool.run(() => fetch(gauge).then((answer) => answer.text()));
    };
    await Promise.all(Array.from({ length: Number(lanes) }, lane));
    return pool.metrics();
  },
  async one({ gauge }) {
    await pool.run(() => fetch(gauge).then((answer) => answer.text()));
    return "done";
  },
  async restart(_, env) {
    const { COORDINATOR } = { COORDINATOR: env.CoordinatorObject };
    const object = COORDINATOR.get(COORDINATOR.idFromName("permits:shared"));
    await object.fetch("https://coordinator/restart").catch(() => {});
    return "restarted";
  },
  async update() {
    const lock = await locks.acquire("one", { timeout: 60_000 });
    await state.update("sum", (sum = 0) => sum + 1);
    await lock.release();
    return lock.fence;
  },
  async read() {
    return (await state.get("sum")).value;
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const coordinator = durableCoordinator(env.CoordinatorObject);
    pool ??= new SharedPool(coordinator, { name: "shared", concurrency: 8 });
    locks ??= new SharedLocks(coordinator, { name: "locks" });
    state ??= new SharedState(coordinator, { name: "state" });
    return Response.json(await routes[pathname.slice(1)](Object.fromEntries(searchParams), env));
  },
};
