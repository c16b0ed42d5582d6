/**
 * The conformance suite, once for each runtime; one that is not there is skipped by name.
 */

import { buildNeeds, buildPackage, buildWasm } from "../../pkg-config/build.mjs";
import { packages } from "../../setup/needs.mjs";

const names = ["node", "deno", "bun", "workerd", "chromium", "firefox", "webkit"];

export const conformance = names.map((runtime) => ({
  name: `conformance-${runtime}`,
  what: `the public behaviour in ${runtime}`,
  needs: [...buildNeeds, packages("tests", "the tests")],
  async run(tally) {
    await buildWasm();
    await buildPackage();
    const { conform } = await import("../conformance/conform.mjs");
    const report = await conform(runtime);
    if (report.missing) return tally.skip(report.missing);
    for (const { name, outcome, why } of report.cases) {
      if (outcome === "passed") tally.pass();
      else if (outcome === "skipped") tally.skip(`${name}: ${why}`);
      else {
        console.log(`failed  ${name}\n        ${why}`);
        tally.fail(name);
      }
    }
    console.log(`${runtime} ${report.version}`);
  },
}));
