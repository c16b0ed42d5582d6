/** Either the process that has the coordinator, or one of those that share a limit by it and reach it over the network alone. */

import { durableCoordinator, SharedPool } from "tidegate/edge";

export { CoordinatorObject } from "tidegate/edge";

const remote = {
  idFromName: (name) => name,
  get: (name) => ({
    fetch: (_, init) => fetch(`http://objects/object/${encodeURIComponent(name)}`, init),
  }),
};
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let pool;
let spans = [];
let refused = 0;

const routes = {
  async object({ request, env, name }) {
    const id = env.CoordinatorObject.idFromName(decodeURIComponent(name));
    const body = await request.text();
    return env.CoordinatorObject.get(id).fetch("https://coordinator/", { method: "POST", body });
  },
  /** So many tasks in so many lanes; each takes its time, and is written down with its beginning and its end. */
  async load({ tasks, lanes, ms, limit, lease }) {
    pool ??= new SharedPool(durableCoordinator(remote), {
      name: "shared",
      concurrency: Number(limit),
      lease: Number(lease),
    });
    let left = Number(tasks);
    const task = async () => {
      const began = Date.now();
      await sleep(Number(ms));
      spans.push(began, Date.now());
    };
    const lane = async () => {
      for (; left > 0; ) {
        left -= 1;
        try {
          await pool.run(task);
        } catch {
          refused += 1;
          left += 1;
          await sleep(20);
        }
      }
    };
    await Promise.all(Array.from({ length: Number(lanes) }, lane));
    return Response.json({ spans, refused, metrics: pool.metrics() });
  },
  seen: () => Response.json({ ran: spans.length / 2, ...(pool?.metrics() ?? {}) }),
  async forget() {
    await pool?.close();
    pool = undefined;
    spans = [];
    refused = 0;
    return new Response("forgotten");
  },
};

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const [, what, name] = pathname.split("/");
    return routes[what]({ request, env, name, ...Object.fromEntries(searchParams) });
  },
};
