import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { manifest } from "../../pkg-config/exports.mjs";
import { root } from "../../setup/needs.mjs";
import { suites } from "../suites/index.mjs";
import { markdown } from "./snippets.mjs";

/** Folders that a build makes, and the place of a policy that is still to be written. */
const UNTRACKED = /(^|\/)(generated|\.build)\/|NAME\./;

for (const file of markdown()) {
  const text = readFileSync(join(root, file), "utf8");
  const prose = text.replace(/^```[\s\S]*?^```$/gm, "");

  test(`every relative link of ${file} leads to a file, and to a heading that is there`, () => {
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, heading] = target.split("#");
      const place = path === "" ? join(root, file) : join(root, dirname(file), path);
      assert.ok(existsSync(place), `${target} leads nowhere`);
      if (heading !== undefined)
        assert.ok(headings(place).includes(heading), `there is no heading ${target}`);
    }
  });

  test(`every command of ${file} is one that package.json or the suites know`, () => {
    for (const [, name] of text.matchAll(/npm run ([a-z:-]+)/g))
      assert.ok(name in manifest(root).scripts, `there is no script \`${name}\``);
    for (const [, names] of text.matchAll(/npm test -- --only ([a-z,-]+)/g))
      for (const name of names.split(","))
        assert.ok(
          suites.some((suite) => suite.name === name),
          `there is no suite \`${name}\``,
        );
  });

  test(`every path of this repository that ${file} names is there`, () => {
    for (const [, path] of prose.matchAll(
      /`((?:src|js|www|edge|range|setup|pkg-config|tests|benches|docs|xtask|bin|examples)\/[\w./-]*)`/g,
    ))
      assert.ok(UNTRACKED.test(path) || existsSync(join(root, path)), `\`${path}\` is not there`);
  });
}

test("every test that docs/features.md names is there", () => {
  const rows = readFileSync(join(root, "docs/features.md"), "utf8");
  const named = [...rows.matchAll(/`((?:src|tests)\/[^`]+)`: "(.+?)"(?=;| \|)/g)];
  assert.ok(named.length > 50, "the table is not read as it should be");
  const strays = named.filter(([, file, name]) => !readFileSync(join(root, file), "utf8").includes(name));
  assert.deepEqual(
    strays.map(([text]) => text),
    [],
  );
});

test("ARCHITECTURE.md says where every public machine is", () => {
  const map = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const declared = readFileSync(join(root, "src/machine/mod.rs"), "utf8").matchAll(/^pub mod (\w+);$/gm);
  const machines = [...declared].map(([, name]) => `src/machine/${name}.rs`);
  assert.ok(machines.length > 20, "the modules are not read as they should be");
  assert.deepEqual(
    machines.filter((path) => !map.includes(path)),
    [],
  );
});

/** The headings of a Markdown file as GitHub links to them. */
function headings(file) {
  return [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-"),
  );
}
