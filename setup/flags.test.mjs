import assert from "node:assert/strict";
import { test } from "node:test";
import { readFlags } from "./flags.mjs";

const table = {
  port: { kind: "integer", min: 0, max: 65_535 },
  only: { kind: "list", of: ["pool", "cache"] },
  json: { kind: "text" },
  quick: { kind: "flag" },
};

test("flags are read by their kind, with or without an equals sign", () => {
  assert.deepEqual(readFlags(table, ["--port", "80", "--only=pool,cache", "--quick"]), {
    port: 80,
    only: ["pool", "cache"],
    json: undefined,
    quick: true,
  });
});

for (const [argv, sentence] of [
  [["--prt", "80"], "Expected `--port`, `--only`, `--json` or `--quick`, got `--prt`"],
  [["80"], "Expected `--port`, `--only`, `--json` or `--quick`, got `80`"],
  [["--port", "many"], "Expected `--port` to be an integer from 0 to 65535, got `many`"],
  [["--port", "65536"], "Expected `--port` to be an integer from 0 to 65535, got `65536`"],
  [["--port"], "Expected a value after `--port`, got none"],
  [["--only", "pol"], "Expected `--only` to be `pool` or `cache`, got `pol`"],
  [["--quick=no"], "Expected `--quick` without a value, got `no`"],
  [["--json", "--quick"], "Expected a value after `--json`, got none"],
]) {
  test(`\`${argv.join(" ")}\` is refused in one sentence, with exit code 2`, () => {
    assert.throws(
      () => readFlags(table, argv),
      (error) => error.message === sentence && error.exitCode === 2,
    );
  });
}
