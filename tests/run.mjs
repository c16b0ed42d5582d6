/**
 * `npm test`: sets up what is missing, runs every suite and ends with `N passed, N failed, N skipped`.
 * `npm run check` is the same with `--quick`: format, lint, types and host tests.
 */

import { readFlags } from "../setup/flags.mjs";
import { ensure } from "../setup/needs.mjs";
import { duration, main } from "../setup/step.mjs";
import { suites } from "./suites/index.mjs";
import { Tally } from "./tally.mjs";

await main(async () => {
  const { quick, only } = readFlags({
    quick: { kind: "flag" },
    only: { kind: "list", of: suites.map(({ name }) => name) },
  });
  const chosen = suites.filter(({ name, isQuick }) =>
    only.length > 0 ? only.includes(name) : !quick || isQuick,
  );
  const began = performance.now();
  const total = new Tally();
  for (const suite of chosen) {
    console.log(`\n── ${suite.name}: ${suite.what}`);
    const start = performance.now();
    const tally = new Tally();
    try {
      await ensure(...(suite.needs ?? []));
      await suite.run(tally);
    } catch (error) {
      tally.fail(error.message);
      console.error(error.exitCode === undefined && error.name !== "PlainError" ? error : error.message);
    }
    if (tally.passed + tally.failed + tally.skips.length === 0) tally.fail("the suite ran nothing");
    console.log(`── ${suite.name}: ${tally} in ${duration(performance.now() - start)}`);
    total.add(tally, suite.name);
  }
  console.log(`\n${chosen.length} suites in ${duration(performance.now() - began)}`);
  for (const line of total.skips) console.log(`skipped  ${line}`);
  for (const line of total.failures) console.log(`failed   ${line}`);
  console.log(`${total}`);
  return total.failed > 0 ? 1 : 0;
});
