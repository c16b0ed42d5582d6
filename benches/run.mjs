/**
 * `npm run bench -- [--only NAME] [--seed S] [--json FILE]`: side by side with peers, in one run.
 */

import { writeFileSync } from "node:fs";
import { buildNeeds, buildPackage, buildWasm } from "../pkg-config/build.mjs";
import { readFlags } from "../setup/flags.mjs";
import { ensure, packages } from "../setup/needs.mjs";
import { main } from "../setup/step.mjs";

/**
 * A bench is a file beside this one that exports `bench({ seed })`, which gives its rows, at once or one by one; what it draws, it
 * draws by the seed. Workers have the rows of secrets among theirs.
 */
const benches = ["pool", "cache", "secrets", "workers", "edge", "coordinator"];
const all = benches.filter((name) => name !== "secrets");

await main(async () => {
  const { only, seed, json } = readFlags({
    only: { kind: "list", of: benches },
    seed: { kind: "integer", min: 0, max: 2 ** 32 - 1, initial: 1 },
    json: { kind: "text" },
  });
  await ensure(
    ...buildNeeds,
    packages("benches", "the benchmarks"),
    packages("tests", "the runtimes that are measured"),
  );
  await buildWasm();
  await buildPackage();
  const rows = [];
  for (const name of only.length > 0 ? only : all) {
    const { bench } = await import(`./${name}.mjs`);
    for await (const row of await bench({ seed })) {
      rows.push(row);
      console.log(described(row));
    }
  }
  if (json) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
  return rows.every(({ pass }) => pass) ? 0 : 1;
});

function described({ bench, n, peer, version, unit, ours, theirs, ratio, direction, bar, pass }) {
  const [sign, verdict] = [direction === "lower" ? "≤" : "≥", pass ? "met" : "MISSED"];
  return `${bench} (n = ${n}): ours ${ours} ${unit}, ${peer} ${version} ${theirs} ${unit}, ratio ${ratio} (bar ${sign} ${bar}: ${verdict})`;
}
