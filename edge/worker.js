/**
 * Scans on the edge: `POST /scan` and `POST /scans`, `GET /metrics`, `GET /healthz`, and the page. Who may ask and what may be scanned stands in the
 * variables and secrets of `wrangler.jsonc`; without them nobody may, and nothing.
 */

import { durableCoordinator, queueConsumer, scanHandler } from "tidegate/edge";
import { Scanner, toCsv, toHtml } from "tidegate/scan";

export { CoordinatorObject, ScanJobObject } from "tidegate/edge";

let handle;
let consume;

export default {
  async fetch(request, env) {
    try {
      handle ??= scanHandler(optionsOf(env));
    } catch (error) {
      // Said to whoever deploys it, and nothing is open meanwhile. No message shows a token.
      console.error(error);
      return Response.json(
        { error: `the variables of this worker are wrong: ${error.message}` },
        { status: 503 },
      );
    }
    // Tells the page that this worker can scan for it.
    if (new URL(request.url).pathname === "/range.json") return Response.json({ engine: "./" });
    return (
      (await handle(request)) ?? env.ASSETS?.fetch(request) ?? new Response("not found\n", { status: 404 })
    );
  },
  async queue(batch, env) {
    consume ??= queueConsumer({ Scanner, jobs: env.ScanJobObject, targets: { allow: list(env.ALLOW) } });
    await consume(batch);
  },
};

function optionsOf(env) {
  return {
    Scanner,
    tokens: list(env.TOKENS),
    ...(env.ACCESS_TEAM ? { access: { team: env.ACCESS_TEAM, audience: list(env.ACCESS_AUDIENCE) } } : {}),
    targets: { allow: list(env.ALLOW) },
    origins: list(env.ORIGINS),
    quotas: {
      ...allowance("requests", env.REQUESTS_PER_MINUTE, 60_000),
      ...allowance("scans", env.SCANS_PER_MINUTE, 60_000),
      ...allowance("targets", env.TARGETS_PER_DAY, 86_400_000),
    },
    ...(env.METRICS ? { metrics: env.METRICS } : {}),
    ...(env.CoordinatorObject ? { coordinator: durableCoordinator(env.CoordinatorObject) } : {}),
    ...(env.ScanJobObject
      ? { scans: { jobs: env.ScanJobObject, formats: { csv: toCsv, html: toHtml } } }
      : {}),
  };
}

/** A list in a variable: separated by commas or spaces. */
function list(text) {
  return (text ?? "").split(/[\s,]+/).filter((item) => item !== "");
}

/** A number in a variable; an empty one leaves the default. */
function allowance(quota, text, per) {
  return text === undefined || text === "" ? {} : { [quota]: { limit: Number(text), per } };
}
