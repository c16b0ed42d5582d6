/** Modules that lie in scripts as letters: what comes out is what went in, in any script, for what the module weighs. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { root } from "../../setup/needs.mjs";

const generated = join(root, "dist/generated");
const { bytesOf } = await import(pathToFileURL(join(root, "dist/letters.js")).href);
const modules = readdirSync(generated, { recursive: true })
  .map((path) => /^(.*)_letters\.js$/.exec(path)?.[1])
  .filter((name) => name !== undefined);

async function lettersOf(name) {
  return (await import(pathToFileURL(join(generated, `${name}_letters.js`)).href)).letters;
}

test("letters stand for the bytes of their module", async () => {
  assert.ok(modules.length >= 5, `${modules}`);
  for (const name of modules) {
    const wasm = readFileSync(join(generated, `${name}_bg.wasm`));
    assert.ok(wasm.equals(bytesOf(await lettersOf(name))), name);
  }
});

test("every byte has letters, which no quotes, template or page around a script take for their own", async () => {
  const bytes = new Set();
  for (const name of modules) {
    const letters = await lettersOf(name);
    assert.match(letters, /^[!-~]*$/);
    assert.doesNotMatch(letters, /["'`\\$<]/);
    for (const byte of bytesOf(letters)) bytes.add(byte);
  }
  assert.equal(bytes.size, 256);
});

test("compressed, letters weigh hardly more than the module itself", async () => {
  for (const name of modules) {
    const wasm = gzipSync(readFileSync(join(generated, `${name}_bg.wasm`))).length;
    const letters = gzipSync(await lettersOf(name)).length;
    assert.ok(letters < wasm * 1.05, `${name}: ${letters} against ${wasm}`);
  }
});
