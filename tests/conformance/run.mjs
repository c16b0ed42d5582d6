/**
 * `npm run conformance -- --runtime NAME [--only TEXT] [--json FILE]`: the one JavaScript suite in one real runtime.
 */

import { writeFileSync } from "node:fs";
import { buildNeeds, buildPackage, buildWasm } from "../../pkg-config/build.mjs";
import { readFlags, UsageError } from "../../setup/flags.mjs";
import { ensure, packages } from "../../setup/needs.mjs";
import { main, PlainError } from "../../setup/step.mjs";

const names = ["node", "deno", "bun", "workerd", "chromium", "firefox", "webkit"];

await main(async () => {
  const { runtime, only, json } = readFlags({
    runtime: { kind: "text", of: names },
    only: { kind: "text" },
    json: { kind: "text" },
  });
  if (runtime === undefined) throw new UsageError(`Expected \`--runtime\` with one of ${names.join(", ")}`);
  await ensure(...buildNeeds, packages("tests", "the tests"));
  await buildWasm();
  await buildPackage();
  const { conform } = await import("./conform.mjs");
  const report = await conform(runtime, only);
  if (report.missing) throw new PlainError(report.missing);
  for (const { name, outcome, why, ms } of report.cases) {
    console.log(`${outcome.padEnd(7)} ${name} (${ms.toFixed(0)} ms)${why ? `\n        ${why}` : ""}`);
  }
  const { version, passed, failed, skipped } = report;
  console.log(`${runtime} ${version}: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  if (json) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
  return failed > 0 || passed === 0 ? 1 : 0;
});
