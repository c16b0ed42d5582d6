/**
 * `npm start [-- --port N]`: sets up what is missing, builds, and serves the page with a range of targets beside it.
 */

import { build } from "../pkg-config/build.mjs";
import { readFlags } from "./flags.mjs";
import { duration, main } from "./step.mjs";

await main(async () => {
  const { port } = readFlags({ port: { kind: "integer", min: 0, max: 65_535 } });
  const began = performance.now();
  await build();
  const { serve } = await import("../range/serve.mjs");
  const site = await serve({ port });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.removeAllListeners(signal); // those of the build's own processes, which have ended
    process.once(signal, () => site.close().finally(() => process.exit(0)));
  }
  console.log(
    `ready in ${duration(performance.now() - began)}: ${site.url} (${site.range.index().targets.length} targets beside it; Ctrl+C ends it)`,
  );
});
