import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startRange } from "../../range/range.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const binary = (name) => join(root, "tests/node_modules/.bin", name);
const missing = (name) => (existsSync(binary(name)) ? false : `${name} is not installed`);
const NAMES = ["fast", "flaky-500", "refused", "moved", "headers-good", "mcp-sse", "mcp-json"];

let range;
let folder;
let expected;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "tidegate-"));
  range = await startRange({ reference: false });
  expected = lasting(await inProcess("node", process.execPath, []));
});
after(async () => {
  await range?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** What every runtime sees alike: not how long it took, and not the words of its errors. */
function lasting({ targets, results }) {
  const seen = results.map(({ target, plugin, status, findings, details }) => ({
    target,
    plugin,
    status,
    findings: findings.map(({ id, severity }) => `${id} ${severity}`),
    reachable: details?.reachable,
    errorKind: details?.errorKind,
    tools: details?.tools?.map(({ name }) => name),
    state: details?.state,
  }));
  return { targets, seen };
}

const scan = (entry, targets) => `
import { Scanner } from ${JSON.stringify(entry)};
async function report() {
  for await (const event of new Scanner().scan(${JSON.stringify(targets)})) {
    if (event.type === "done") return event.report;
  }
}
`;

async function inProcess(name, command, args) {
  const script = join(folder, `${name}.mjs`);
  const entry = new URL("../../dist/entrypoints/scan-node.js", import.meta.url).href;
  const targets = NAMES.map((target) => range.url(target));
  writeFileSync(script, `${scan(entry, targets)}\nconsole.log(JSON.stringify(await report()));\n`);
  return JSON.parse(await output(command, [...args, script]));
}

function output(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], cwd: folder });
    let [said, complained] = ["", ""];
    child.stdout.on("data", (chunk) => {
      said += chunk;
    });
    child.stderr.on("data", (chunk) => {
      complained += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(said) : reject(new Error(`${command}: ${code}: ${complained}`)),
    );
  });
}

test("Deno finds what Node finds", { skip: missing("deno") }, async () => {
  const report = await inProcess("deno", binary("deno"), [
    "run",
    "--no-config",
    "--allow-net",
    "--allow-read",
  ]);
  assert.deepEqual(lasting(report), expected);
});

test("Bun finds what Node finds", { skip: missing("bun") }, async () => {
  assert.deepEqual(lasting(await inProcess("bun", binary("bun"), [])), expected);
});

test("workerd finds what Node finds, as far as it tells", { skip: missing("workerd") }, async () => {
  const { build } = await import("esbuild");
  const worker = join(folder, "worker.mjs");
  const entry = join(root, "dist/entrypoints/scan-workerd.js");
  const handler = "export default { fetch: async () => Response.json(await report()) };";
  writeFileSync(
    worker,
    scan(
      entry,
      NAMES.map((target) => range.url(target)),
    ) + handler,
  );
  const flat = {
    name: "flat",
    setup: (bundler) =>
      bundler.onResolve({ filter: /\.wasm$/ }, ({ path }) => ({
        path: `./${basename(path)}`,
        external: true,
      })),
  };
  const outfile = join(folder, "main.js");
  await build({
    entryPoints: [worker],
    outfile,
    bundle: true,
    format: "esm",
    plugins: [flat],
    external: ["cloudflare:*"],
  });
  const report = await fromWorkerd();
  const asFarAsItTells = expected.seen.map((run) => ({
    ...run,
    state: run.state === "closed" ? "unknown" : run.state,
    errorKind: run.errorKind === "refused" ? "network" : run.errorKind,
  }));
  assert.deepEqual(lasting(report).seen, asFarAsItTells);
});

async function fromWorkerd() {
  const config = join(folder, "config.capnp");
  copyFileSync(join(root, "dist/generated/scan_bg.wasm"), join(folder, "scan_bg.wasm"));
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker), (name = "range", network = (allow = ["local", "private"]))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [(name = "main.js", esModule = embed "main.js"), (name = "scan_bg.wasm", wasm = embed "scan_bg.wasm")],
  compatibilityDate = "2026-11-01",
  globalOutbound = "range",
);
`,
  );
  const child = spawn(binary("workerd"), ["serve", config, "--control-fd=3"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  try {
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const port = await new Promise((resolve, reject) => {
      let control = "";
      child.stdio[3].on("data", (chunk) => {
        control += chunk;
        const listening = control.match(/"port":\s*(\d+)/);
        if (listening) resolve(Number(listening[1]));
      });
      child.once("exit", (code) => reject(new Error(`workerd ended with ${code}: ${said}`)));
    });
    const response = await fetch(`http://127.0.0.1:${port}/`);
    const text = await response.text();
    assert.ok(response.ok, `${text} ${said}`);
    return JSON.parse(text);
  } finally {
    child.kill("SIGKILL");
  }
}
