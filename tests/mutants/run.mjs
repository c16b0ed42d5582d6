/**
 * `npm run mutants [-- --file TEXT] [--shard K/N] [--sample N --seed S] [--again]`: breaks the machines at one place
 * after the other with cargo-mutants, and counts how often their tests notice. Exit code 1 where that is below 90 %.
 *
 * All of them take hours. `--sample` draws some, the same ones for the same seed; `--again` takes those that earlier
 * runs missed.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFlags, UsageError } from "../../setup/flags.mjs";
import { cargoMutants, ensure, root, toolchains } from "../../setup/needs.mjs";
import { duration, main, PlainError, step } from "../../setup/step.mjs";
import { everyMutant, judge, makeCrate, testsPass } from "./crate.mjs";
import { drawn, shardOf } from "./draw.mjs";
import { Sum } from "./sum.mjs";

/** What the house asks of the tests of its machines. */
const BAR = 0.9;

const survivors = join(root, "target/mutants/missed.json");

await main(async () => {
  const { file, shard, sample, seed, again } = readFlags({
    file: { kind: "list" },
    shard: { kind: "text", initial: "1/1" },
    sample: { kind: "integer", min: 1, max: 1_000_000 },
    seed: { kind: "integer", min: 0, max: 2 ** 31 - 1, initial: 1 },
    again: { kind: "flag" },
  });
  await ensure(toolchains, cargoMutants);
  makeCrate();
  const missed = new Set(existsSync(survivors) ? JSON.parse(readFileSync(survivors, "utf8")) : []);
  const all = await everyMutant();
  const wanted = all.filter(
    (mutant) =>
      (file.length === 0 || file.some((part) => mutant.file.includes(part))) &&
      (!again || missed.has(mutant.name)),
  );
  const chosen = drawn(shardOf(wanted, shard), sample, seed);
  if (chosen.length === 0) throw new UsageError("There is no such mutant");
  await step("the tests without a mutant", async () => {
    if (!(await testsPass())) throw new PlainError("They fail.");
  });
  console.log(`${chosen.length} of ${all.length} mutants of src/machine/`);

  const began = performance.now();
  const total = new Sum();
  for (const [path, mutants] of byFile(chosen)) {
    const sum = new Sum();
    for (const { name, outcome } of await judge(path, mutants)) {
      sum.add(outcome);
      missed[outcome === "missed" ? "add" : "delete"](name);
      if (outcome === "missed" || outcome === "timeouts") console.log(`${outcome.padEnd(8)} ${name}`);
    }
    console.log(`${path}: ${sum}`);
    total.join(sum);
    writeFileSync(survivors, JSON.stringify([...missed]));
  }
  console.log(`\n${total}, in ${duration(performance.now() - began)}`);
  if (total.share >= BAR) return 0;
  console.log(`at least ${BAR * 100} % are asked for`);
  return 1;
});

function byFile(mutants) {
  const files = new Map();
  for (const mutant of mutants) files.set(mutant.file, [...(files.get(mutant.file) ?? []), mutant]);
  return files;
}
