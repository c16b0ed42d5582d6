/**
 * Scans on the edge: `POST /scan`, `GET /metrics`, `GET /healthz`, and the page. Who may ask and what may be scanned stands in the variables
 * and secrets of `wrangler.jsonc`; without them nobody may, and nothing.
 */

import { durableCoordinator, scanHandler } from "tidegate/edge";
import { Scanner } from "tidegate/scan";

export { CoordinatorObject } from "tidegate/edge";

let handle;

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
    });
    return (
      (await handle(request)) ?? env.ASSETS?.fetch(request) ?? new Response("not found\n", { status: 404 })
    );
  },
};
