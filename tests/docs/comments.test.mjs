import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { target } from "../../pkg-config/exports.mjs";
import { root } from "../../setup/needs.mjs";

/** What is explained where it is thrown; the guide to errors shows them all. */
const WITHOUT_EXAMPLE = /Error$|^is[A-Z]\w*Error$/;

for (const specifier of [".", "./scan", "./workers"]) {
  const door = target(root, specifier, ["types"]);
  const items = [...exported(door)];

  test(`every export of ${specifier} says what it is`, () => {
    assert.ok(items.length > 10, "the declarations are not read as they should be");
    const silent = items.filter(({ comment }) => comment === "");
    assert.deepEqual(silent.map(placeOf), []);
  });

  test(`every class and function of ${specifier} has an example`, () => {
    const shown = items.filter(
      ({ kind, name }) => /class|function/.test(kind) && !WITHOUT_EXAMPLE.test(name),
    );
    const without = shown.filter(({ comment }) => !comment.includes("```ts"));
    assert.deepEqual(without.map(placeOf), []);
  });
}

function placeOf({ name, file }) {
  return `${name} in ${relative(root, file)}`;
}

/** What a declaration file exports, its own and what it passes on, with the comment before each. */
function* exported(file) {
  const text = readFileSync(file, "utf8");
  const own =
    /(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?^export (?:declare )?(?:abstract )?(class|interface|function|const|type) (\w+)/gm;
  for (const [, comment = "", kind, name] of text.matchAll(own)) yield { file, comment, kind, name };
  for (const [, list, from] of text.matchAll(/^export (?:type )?(\{[^}]*\}|\*) from "(.+?)\.js"/gm)) {
    const names = list === "*" ? undefined : list.match(/\w+(?=\s*[,}])/g);
    for (const item of exported(join(dirname(file), `${from}.d.ts`)))
      if (names === undefined || names.includes(item.name)) yield item;
  }
}
