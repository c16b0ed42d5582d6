/**
 * `tidegate/slim` before, during and after its initialisation: each case in a process of its own, for a module is loaded
 * once.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { root } from "../../setup/needs.mjs";

const run = promisify(execFile);

/** What a script that imports the package prints, read as JSON. */
async function told(script) {
  const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  return JSON.parse(stdout);
}

const head = `
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as slim from "tidegate/slim";
const bytes = readFileSync(fileURLToPath(import.meta.resolve("tidegate/tidegate.wasm")));
const attempt = async (call) => {
  try { return await call(); } catch (error) { return { name: error.name, code: error.code, message: error.message }; }
};
const tell = (value) => console.log(JSON.stringify(value));
`;

test("before init everything that needs the module throws NotInitialisedError", async () => {
  const answers = await told(`${head}
const calls = [
  () => new slim.Pool({ concurrency: 1 }),
  () => new slim.CircuitBreaker(),
  () => slim.CircuitBreaker.from({ state: "open", openFor: 1, consecutive: 0, openings: 1 }),
  () => slim.gather([() => 1]),
  () => slim.asCompleted([() => 1]),
  () => slim.retry(() => 1),
  () => slim.withTimeout(1, "x", () => 1),
];
tell(await Promise.all(calls.map(attempt)));`);
  assert.equal(answers.length, 7);
  for (const { name, code, message } of answers) {
    assert.equal(name, "NotInitialisedError");
    assert.equal(code, "NOT_INITIALISED");
    assert.equal(
      message,
      "`tidegate/slim` is not initialised: call `init(module)` first, or import `tidegate` instead",
    );
  }
});

test("init takes bytes, a compiled module, a Response or a URL, and then everything works", async () => {
  const sources = [
    "bytes",
    "new WebAssembly.Module(bytes)",
    `new Response(bytes, { headers: { "content-type": "application/wasm" } })`,
    "Promise.resolve(new Response(bytes))",
    "`data:application/wasm;base64,${bytes.toString('base64')}`",
    "new URL(`data:application/wasm;base64,${bytes.toString('base64')}`)",
  ];
  for (const source of sources) {
    const answer = await told(`${head}
await slim.init(${source});
tell(await new slim.Pool({ concurrency: 1 }).run(() => "works"));`);
    assert.equal(answer, "works", source);
  }
});

test("init is idempotent: the same source again, before and after it is loaded, is the same promise's answer", async () => {
  const answer = await told(`${head}
const first = slim.init(bytes);
const second = slim.init(bytes);
await first;
await second;
await slim.init(bytes);
tell(await new slim.Pool({ concurrency: 1 }).run(() => "works"));`);
  assert.equal(answer, "works");
});

test("a second, different module throws, and the first goes on and may be given again", async () => {
  const answers = await told(`${head}
await slim.init(bytes);
const other = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
const refused = [
  await attempt(() => slim.init(other)),
  await attempt(() => slim.init(new WebAssembly.Module(other))),
];
await slim.init(bytes);
tell([...refused, await new slim.Pool({ concurrency: 1 }).run(() => "works")]);`);
  const [bytes, module, value] = answers;
  for (const { name, message } of [bytes, module]) {
    assert.equal(name, "TypeError");
    assert.equal(
      message,
      "Expected `init` to be called with the module that is already loaded, got a different one",
    );
  }
  assert.equal(value, "works");
});

test("init may be tried again after a failure, with the same source or another", async () => {
  const answers = await told(`${head}
let failing = true;
globalThis.fetch = async (url) => failing ? new Response("", { status: 503 }) : new Response(bytes);
const first = await attempt(() => slim.init("https://cdn.example/tidegate.wasm"));
const early = await attempt(() => new slim.Pool({ concurrency: 1 }));
const garbage = await attempt(() => slim.init(new Uint8Array([1, 2, 3])));
failing = false;
await slim.init("https://cdn.example/tidegate.wasm");
tell([first, early, garbage, await new slim.Pool({ concurrency: 1 }).run(() => "works")]);`);
  const [first, early, garbage, value] = answers;
  assert.match(first.message, /^Could not load the wasm module from .*: status 503$/);
  assert.equal(early.code, "NOT_INITIALISED");
  assert.equal(garbage.name, "CompileError");
  assert.equal(value, "works");
});

test("tidegate/slim after tidegate is loaded already: init with its own module changes nothing", async () => {
  const answers = await told(`${head}
const { Pool } = await import("tidegate");
const before = new Pool({ concurrency: 1 });
const again = await attempt(() => slim.init(bytes));
tell([Pool === slim.Pool, await before.run(() => "works"), again ?? null]);`);
  assert.equal(answers[0], true);
  assert.equal(answers[1], "works");
});

test("the package can be required", async () => {
  const { stdout } = await run(
    process.execPath,
    [
      "--input-type=commonjs",
      "--experimental-require-module",
      "--eval",
      `const { Pool } = require("tidegate"); new Pool({ concurrency: 1 }).run(() => 7).then(console.log)`,
    ],
    { cwd: root },
  );
  assert.equal(stdout.trim(), "7");
});
