/** The registry of conformance cases judges what it runs: a case cannot pass by saying nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  assert as counted,
  test as register,
  rejection,
  runCases,
  SKIP_REASONS,
} from "../conformance/registry.js";

register("asserts something", () => counted.equal(1, 1));
register("asserts nothing", () => {});
register("asserts what is wrong", () => counted.equal(1, 2));
register("awaits what does not reject", async () => void (await rejection(Promise.resolve(1))));
register("does not apply in Deno", () => counted.isTrue(true), { skipIn: { deno: "no-gc" } });

const outcome = async (name: string, runtime: "node" | "deno" = "node") =>
  (await runCases(runtime)).find((one) => one.name === name);

test("a case without an assertion fails, and one with a wrong one too", async () => {
  assert.equal((await outcome("asserts something"))?.outcome, "passed");
  assert.equal((await outcome("asserts nothing"))?.outcome, "failed");
  assert.match((await outcome("asserts nothing"))?.why ?? "", /asserted nothing/);
  assert.equal((await outcome("asserts what is wrong"))?.outcome, "failed");
  assert.equal((await outcome("awaits what does not reject"))?.outcome, "failed");
});

test("a case is skipped only where it says so, with a reason from the list", async () => {
  assert.equal((await outcome("does not apply in Deno"))?.outcome, "passed");
  const skipped = await outcome("does not apply in Deno", "deno");
  assert.deepEqual([skipped?.outcome, skipped?.why], ["skipped", SKIP_REASONS["no-gc"]]);
});

test("two cases of one name are refused", () => {
  assert.throws(() => register("asserts something", () => {}), /Two cases are called/);
});
