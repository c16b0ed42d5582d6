import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as tidegate from "tidegate";
import * as workers from "tidegate/workers";
import { root } from "../../setup/needs.mjs";

/** Why a cell may have no test. */
const REASONS = /^(JavaScript alone|Rust alone|too long to wait for|later: (JavaScript|Rust|edge))$/;

const exported = Object.keys({ ...tidegate, ...workers });
const rows = tables(readFileSync(join(root, "docs/coverage.md"), "utf8"));
const javascript = sources(
  ["tests/conformance", "tests/js", "tests/trap", "tests/page", "tests/edge", "tests/workers"],
  /\.(ts|mjs)$/,
);
const rust = sources(["src", "tests"], /\.rs$/);

test("every promise has a test in each language, or one of the few reasons for having none", () => {
  assert.ok(rows.length > 150, "the tables are not read as they should be");
  for (const { promise, cells } of rows) {
    for (const { text, tests } of cells)
      assert.ok(
        tests.length > 0 || REASONS.test(text),
        `${promise}: \`${text}\` is neither tests nor a reason`,
      );
    assert.ok(
      cells.some(({ tests }) => tests.length > 0),
      `${promise}: no test at all`,
    );
  }
});

test("every test that docs/coverage.md names is there", () => {
  for (const { promise, cells } of rows)
    for (const { tests } of cells)
      for (const { name, language } of tests)
        assert.ok(exists(name, language), `${promise}: ${name} is not there`);
});

test("a test that is not there would be missed, in both languages", () => {
  assert.ok(!exists("pool: no such test", "javascript"));
  assert.ok(!exists("no_such_test", "rust"));
  assert.ok(!exists("pool: never more tasks run", "javascript"), "half a name is no name");
});

test("every name that the package exports has a row", () => {
  const named = new Set(
    rows.flatMap(({ promise }) => [...promise.matchAll(/`(\w+)`/g)].map(([, name]) => name)),
  );
  const missing = exported.filter((name) => !named.has(name));
  assert.deepEqual(missing, []);
});

test("every class and function that the package exports has an example in its documentation", () => {
  const text = sources(["js"], /\.ts$/);
  const own = exported.filter((name) => !/^is[A-Z]\w+Error$|Error$/.test(name));
  const missing = own.filter((name) => {
    const declared = new RegExp(
      `(/\\*\\*(?:(?!\\*/)[\\s\\S])*\\*/)\\s*export (?:abstract )?(?:class|(?:async )?function) ${name}\\b`,
    );
    return !text.match(declared)?.[1].includes("@example");
  });
  assert.ok(own.length > 20, "the exports are not read as they should be");
  assert.deepEqual(missing, []);
});

function exists(name, language) {
  if (language === "rust")
    return new RegExp(`#\\[test\\]\\s*(?:#\\[[^\\]]*\\]\\s*)*fn ${name}\\(`).test(rust);
  // A name that is put together stands in backticks already.
  const quoted = name.startsWith("`") ? [name] : [`"${name}"`, `\`${name}\``];
  return quoted.some(
    (each) =>
      javascript.includes(`test(${each}`) || new RegExp(`test\\(\\s*${escaped(each)}`).test(javascript),
  );
}

/** The rows of every table: what is promised, and the cells of tests. */
function tables(text) {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| ") && !/^\| (policy|default or rule|name) \|/.test(line))
    .map((line) => {
      const cells = line.slice(2, -2).split(" | ");
      const tests = cells.slice(-2).map((cell) => ({
        text: cell.trim(),
        tests: [...cell.matchAll(/"([^"]+)"/g)].map(([, name]) => ({ name, language: "javascript" })),
      }));
      tests[1].tests = [...cells.at(-1).matchAll(/`(\w+)`/g)].map(([, name]) => ({ name, language: "rust" }));
      return { promise: cells.slice(0, -2).join(": "), cells: tests };
    });
}

function sources(folders, ending) {
  return folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && ending.test(entry.name))
        .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
        .filter((path) => !/node_modules|\.build/.test(path)),
    )
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
