/**
 * Scans on the edge: `POST /scan` and `POST /scans`, `GET /metrics`, `GET /healthz`, and the page. Who may ask and what may be scanned stands in the
 * variables and secrets of `wrangler.jsonc`; without them nobody may, and nothing.
 */

import { durableCoordinator, queueConsumer, scanHandler } from "tidegate/edge";
import { Scanner, toCsv } from "tidegate/scan";

export { CoordinatorObject, ScanJobObject } from "tidegate/edge";

let handle;
let consume;

/** A list in a variable: separated by commas or spaces. */
function list(text) {
  return (text ?? "").split(/[\s,]+/).filter((item) => item !== "");
}

export default {
  async fetch(request, env) {
    handle ??= scanHandler({
      Scanner,
      tokens: list(env.TOKENS),
      targets: { allow: list(env.ALLOW) },
      origins: list(env.ORIGINS),
      ...(env.CoordinatorObject ? { coordinator: durableCoordinator(env.CoordinatorObject) } : {}),
      ...(env.ScanJobObject ? { scans: { jobs: env.ScanJobObject, formats: { csv: toCsv } } } : {}),
    });
    return (
      (await handle(request)) ?? env.ASSETS?.fetch(request) ?? new Response("not found\n", { status: 404 })
    );
  },
  async queue(batch, env) {
    consume ??= queueConsumer({ Scanner, jobs: env.ScanJobObject, targets: { allow: list(env.ALLOW) } });
    await consume(batch);
  },
};
