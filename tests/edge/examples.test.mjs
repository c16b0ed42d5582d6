/** The examples of `examples/`, each in the runtime it is for: a pool at module scope before an upstream that counts how many call it at once. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "../../setup/needs.mjs";
import { atExit, killGroup, run } from "../../setup/step.mjs";
import { serve } from "./serve.mjs";

const examples = join(root, "examples");
const tool = (name) => join(root, "tests/node_modules/.bin", name);

let upstream;
let address;
let active = 0;
let most = 0;
/** Requests that are not answered yet, and how many there must be until they are. */
const waiting = [];
let patience = 0;
before(async () => {
  upstream = createServer((_, response) => {
    active += 1;
    most = Math.max(most, active);
    response.on("close", () => (active -= 1));
    waiting.push(response);
    if (waiting.length >= patience) answer();
  }).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  address = `http://127.0.0.1:${upstream.address().port}/`;
});
after(() => {
  upstream?.closeAllConnections();
  upstream?.close();
});

/** Answers everybody who waits, and from now on whoever comes. */
function answer() {
  patience = 0;
  // A turn of the loop later, so that one too many would be seen.
  setImmediate(() => {
    for (const response of waiting.splice(0)) response.end("hello");
  });
}

/** Sixty requests at once: all are answered, by six at a time. */
async function sixty(ask) {
  most = 0;
  patience = 6;
  const answers = await Promise.all(Array.from({ length: 60 }, ask));
  for (const answer of answers) assert.deepEqual([answer.status, await answer.text()], [200, "hello"]);
  assert.equal(most, 6);
}

/** Three hundred while nobody is answered: six run, a hundred wait, and the others are told to come back. */
async function crowd(ask) {
  patience = Number.POSITIVE_INFINITY;
  let refused = 0;
  const answers = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const { status, headers } = await ask();
      if (status !== 503) return status;
      assert.equal(headers.get("retry-after"), "1");
      refused += 1;
      if (refused === 194) answer();
      return status;
    }),
  );
  assert.equal(answers.filter((status) => status === 200).length, 106);
}

test("the Worker of Cloudflare, in workerd", async () => {
  const text = readFileSync(join(examples, "cloudflare/worker.js"), "utf8");
  assert.ok(text.trim().split("\n").length <= 10, "ten lines");
  const worker = await serve("example", text, { vars: { UPSTREAM: address } });
  try {
    await sixty(() => fetch(worker.url));
  } finally {
    worker.stop();
  }
});

/** A copy of an example beside the package as a project has it installed. */
function installed(name) {
  const folder = join(root, "tests/.build/examples", name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(examples, name, "server.ts"), join(folder, "server.ts"));
  return join(folder, "server.ts");
}

/** Starts a server, which says where it listens, and asks it. */
async function asks(command, args) {
  const child = spawn(command, args, {
    env: { ...process.env, PORT: "0", UPSTREAM: address, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const forget = atExit(() => killGroup(child));
  let said = "";
  try {
    const url = await new Promise((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr])
        stream.on("data", (chunk) => {
          said += chunk;
          const [, port] = /Listening on http:\/\/[^\s:]+:(\d+)\//.exec(said) ?? [];
          if (port !== undefined) resolve(`http://127.0.0.1:${port}/`);
        });
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`it ended with ${code}: ${said}`)));
    });
    await sixty(() => fetch(url));
    await crowd(() => fetch(url));
  } finally {
    killGroup(child);
    forget();
  }
}

for (const [name, args] of [
  [
    "deno",
    [
      "run",
      "--allow-net",
      "--allow-env",
      "--allow-read",
      "--no-lock",
      "--no-remote",
      "--node-modules-dir=manual",
    ],
  ],
  ["bun", ["run"]],
])
  test(`the server of ${name}`, async (t) => {
    const { code } = await run(tool(name), ["--version"], { quiet: true });
    if (code !== 0) return t.skip(`${name} did not start`);
    await asks(tool(name), [...args, installed(name)]);
  });

test("the function of Vercel, in its edge runtime, which compiles nothing", async () => {
  const { build } = await import("esbuild");
  const { EdgeRuntime } = await import("edge-runtime");
  // What `vercel build` does with a function: one script, and each `.wasm?module` a module that is there before it.
  const { outputFiles } = await build({
    stdin: {
      contents: `import route from ${JSON.stringify(join(examples, "vercel/route.js"))};
addEventListener("fetch", (event) => event.respondWith(route(event.request)));`,
      resolveDir: join(root, "tests"),
    },
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    conditions: ["edge-light"],
    nodePaths: [join(root, "tests/node_modules")],
    external: ["node:*"],
    define: { "process.env.UPSTREAM": JSON.stringify(address) },
    plugins: [
      {
        name: "modules",
        setup({ onResolve, onLoad }) {
          onResolve({ filter: /\.wasm\?module$/ }, ({ path }) => ({ path, namespace: "modules" }));
          onLoad({ filter: /.*/, namespace: "modules" }, () => ({ contents: "export default wasmModule;" }));
        },
      },
    ],
  });
  const wasm = readFileSync(join(root, "dist/generated/core_bg.wasm"));
  const runtime = new EdgeRuntime({
    // Where it is deployed, modules are compiled beforehand, and bytes are not.
    initialCode: `const wasmModule = new WebAssembly.Module(wasmBytes);
const refuses = () => { throw new Error("nothing is compiled here"); };
WebAssembly.Module = new Proxy(WebAssembly.Module, { construct: refuses });
for (const name of ["compile", "instantiate", "compileStreaming", "instantiateStreaming"]) WebAssembly[name] = refuses;
${outputFiles[0].text}`,
    extend: (context) => Object.assign(context, { wasmBytes: wasm }),
  });
  await sixty(() => runtime.dispatchFetch("https://example.vercel.app/"));
});
