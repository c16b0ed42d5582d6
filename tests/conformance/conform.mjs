/**
 * One run of the suite in one runtime.
 */

import { bundleCases } from "./bundle.mjs";
import { runtimes } from "./runtimes/index.mjs";

let bundled;

/** Gives `{ missing }`, or what the runtime reported: `{ runtime, version, passed, failed, skipped, cases }`. */
export async function conform(name, only) {
  const runtime = runtimes[name];
  const missing = await runtime.missing();
  if (missing) return { missing };
  bundled ??= bundleCases();
  await bundled;
  const { version, results } = await runtime.start(only);
  const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
  return {
    runtime: name,
    version,
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("skipped"),
    cases: results,
  };
}
