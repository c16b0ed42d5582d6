/**
 * `npm start [-- --port N]`: sets up what is missing, builds, and serves the page with a range of targets beside it.
 */

import { build } from "../pkg-config/build.mjs";
import { readFlags } from "./flags.mjs";
import { atExit, duration, main } from "./step.mjs";

await main(async () => {
  const { port } = readFlags({ port: { kind: "integer", min: 0, max: 65_535 } });
  const began = performance.now();
  await build();
  const { serve } = await import("../range/serve.mjs");
  const site = await serve({ port });
  const close = () => site.close();
  atExit(close);
  console.log(
    `ready in ${duration(performance.now() - began)}: ${site.url} (${site.range.index().targets.length} targets beside it; Ctrl+C ends it)`,
  );
});
