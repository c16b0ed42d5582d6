/**
 * `npm run edge [-- --allow "example.com *.example.org"] [--port N]`: the worker of this folder in workerd on this machine, with its Durable Objects, its
 * queue, the page, and a token for this run.
 */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { buildNeeds, buildPackage, buildPage, buildWasm } from "../pkg-config/build.mjs";
import { readFlags } from "../setup/flags.mjs";
import { ensure, packages } from "../setup/needs.mjs";
import { main } from "../setup/step.mjs";

await main(async () => {
  const { allow = "", port = 0 } = readFlags({
    allow: { kind: "text" },
    port: { kind: "integer", min: 0, max: 65_535 },
  });
  await ensure(...buildNeeds, packages("tests", "workerd"));
  await buildWasm();
  await buildPackage();
  await buildPage();
  const { serve } = await import("../tests/edge/serve.mjs");
  const { LocalQueue } = await import("../tests/edge/queue.mjs");
  const token = randomUUID();
  const worker = await serve("edge", readFileSync(new URL("worker.js", import.meta.url), "utf8"), {
    objects: ["CoordinatorObject", "ScanJobObject"],
    queue: new LocalQueue(),
    assets: fileURLToPath(new URL("../dist/page", import.meta.url)),
    port,
    // Whatever a name resolves to.
    reaches: ["public"],
    vars: { TOKENS: token, ALLOW: allow, ORIGINS: "" },
  });
  console.log(
    `ready: ${worker.url} (Ctrl+C ends it), and may scan ${allow === "" ? "nothing: see --allow" : allow}`,
  );
  console.log(`The page is there too, and scans by the worker once it has the token: ${token}`);
  console.log(
    `curl -N -H "authorization: Bearer ${token}" -d '{"targets":["https://example.com/"]}' ${worker.url}/scan`,
  );
  console.log(
    `curl -H "authorization: Bearer ${token}" -d '{"targets":["https://example.com/"]}' ${worker.url}/scans`,
  );
  await new Promise(() => {});
});
