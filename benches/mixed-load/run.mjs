/**
 * `npm run mixed-load -- [--seed S] [--calls N] [--json FILE]`: every policy at once, on the range with its faults on; each
 * figure beside its bar. Exit code 1 where one is missed.
 */

import { writeFileSync } from "node:fs";
import { buildNeeds, buildPackage, buildWasm } from "../../pkg-config/build.mjs";
import { startRange } from "../../range/range.mjs";
import { readFlags } from "../../setup/flags.mjs";
import { ensure } from "../../setup/needs.mjs";
import { main } from "../../setup/step.mjs";
import { described, judged } from "./judging.mjs";

await main(async () => {
  const { seed, calls, json } = readFlags({
    seed: { kind: "integer", min: 0, max: 2 ** 32 - 1, initial: 1 },
    calls: { kind: "integer", min: 100, max: 1_000_000, initial: 5000 },
    json: { kind: "text" },
  });
  await ensure(...buildNeeds);
  await buildWasm();
  await buildPackage();
  const rows = judged(await measured({ seed, calls }));
  for (const row of rows) console.log(described(row));
  if (json) writeFileSync(json, `${JSON.stringify(rows, null, 2)}\n`);
  return rows.every(({ pass }) => pass) ? 0 : 1;
});

async function measured({ seed, calls }) {
  // Only now: before the first build there is nothing to import.
  const [{ load }, { networkFaster, batchesFaster }, { contention }] = await Promise.all([
    import("./load.mjs"),
    import("./concurrent.mjs"),
    import("./contention.mjs"),
  ]);
  const range = await startRange({ seed, reference: false });
  try {
    return {
      ...(await load(range, { seed, calls })),
      networkFaster: await networkFaster(range),
      batchesFaster: await batchesFaster(),
      contentionFew: Math.max(await contention(1), await contention(2)),
      contentionSome: Math.max(await contention(3), await contention(10)),
      contentionMany: Math.max(await contention(11), await contention(100)),
    };
  } finally {
    await range.close();
  }
}
