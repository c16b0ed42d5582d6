/** Every public member of every class is called by a conformance case: the suite runs once with all of them watched. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../setup/needs.mjs";
import { bundleCases } from "../conformance/bundle.mjs";

test("every public member of every class is called by a conformance case, and there are at least 250 cases", async () => {
  const script = join(root, "tests/js/watched-members.mjs");
  const output = execFileSync(process.execPath, [script, await bundleCases()], { encoding: "utf8" });
  const { cases, members, failed, silent } = JSON.parse(output);
  assert.ok(cases >= 250, `${cases} cases`);
  assert.ok(members > 100, `${members} members: the classes are not read as they should be`);
  assert.deepEqual(failed, []);
  assert.deepEqual(silent, []);
});
