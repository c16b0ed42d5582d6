/**
 * Real workerd around a worker: linked with the package, started on a free port, ended with the test.
 */

import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../setup/needs.mjs";
import { atExit, killGroup, run } from "../../setup/step.mjs";
import { link } from "../conformance/bundle.mjs";

const binary = join(root, "tests/node_modules/.bin/workerd");
/** What a worker of today writes into its configuration. */
export const CURRENT = "2026-11-01";

/** The version, or undefined where workerd does not start. */
export async function version() {
  const { code, output } = await run(binary, ["--version"], { quiet: true });
  return code === 0 ? output.trim().replace(/^workerd /, "") : undefined;
}

/**
 * Links an entry, whose imports are looked up beside the conformance cases, and starts it: `isolates` times, which share the Durable
 * Objects of the classes named `objects`, whose bindings have the classes' names. Everything they fetch goes to the address `outside`,
 * if there is one, whatever its host. Gives the address of each isolate.
 */
export async function serve(
  name,
  entry,
  { date = CURRENT, flags = [], isolates = 1, objects = [], vars = {}, outside, before } = {},
) {
  const { folder, wasm } = await link(name, entry, ["workerd", "worker", "import"], before);
  const config = join(folder, "config.capnp");
  const disk = join(folder, "objects");
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  writeFileSync(config, capnp({ wasm, date, flags, isolates, objects, vars, outside, disk }));
  return start(config, isolates);
}

function capnp({ wasm, date, flags, isolates, objects, vars, outside, disk }) {
  const modules = [
    `(name = "main.js", esModule = embed "main.js")`,
    ...wasm.map((file) => `(name = "${file}", wasm = embed "${file}")`),
  ];
  const text = JSON.stringify;
  const bindings = [
    ...objects.map(
      (each) =>
        `(name = ${text(each)}, durableObjectNamespace = (className = ${text(each)}, serviceName = "objects"))`,
    ),
    ...Object.entries(vars).map(([key, value]) => `(name = ${text(key)}, text = ${text(value)})`),
  ];
  const worker = (more) => `(
  modules = [${modules.join(", ")}],
  compatibilityDate = "${date}",
  compatibilityFlags = ${text(flags)},
  bindings = [${bindings.join(", ")}],${more}
)`;
  const numbers = Array.from({ length: isolates }, (_, index) => index);
  const namespaces = objects.map(
    (each) => `(className = ${text(each)}, uniqueKey = ${text(each)}, enableSql = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${numbers.map((index) => `(name = "main${index}", worker = .main),`).join(" ")}
    (name = "objects", worker = .objects),
    (name = "disk", disk = (path = ${text(disk)}, writable = true)),
    (name = "internet", ${
      outside === undefined
        ? 'network = (allow = ["public", "private"])'
        : `external = (address = ${text(outside)}, http = ())`
    }),
  ],
  sockets = [${numbers
    .map((index) => `(name = "http${index}", address = "127.0.0.1:0", http = (), service = "main${index}")`)
    .join(", ")}],
);
const main :Workerd.Worker = ${worker("")};
const objects :Workerd.Worker = ${worker(`
  durableObjectNamespaces = [${namespaces.join(", ")}],
  durableObjectStorage = (localDisk = "disk"),`)};
`;
}

/** Starts workerd on free ports, which it tells on its control channel. */
async function start(config, isolates) {
  const child = spawn(binary, ["serve", config, "--control-fd=3"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const forget = atExit(() => killGroup(child));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  const stop = () => {
    killGroup(child);
    forget();
  };
  try {
    const ports = await new Promise((resolve, reject) => {
      let control = "";
      child.stdio[3].on("data", (chunk) => {
        control += chunk;
        const told = [
          ...control.matchAll(/"event":\s*"listen".*?"socket":\s*"http(\d+)".*?"port":\s*(\d+)/g),
        ];
        if (told.length === isolates)
          resolve(told.sort((a, b) => a[1] - b[1]).map(([, , port]) => Number(port)));
      });
      child.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
      child.once("error", reject);
    });
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    return { url: urls[0], urls, said: () => said.slice(-4000), stop };
  } catch (error) {
    stop();
    error.message += `\nworkerd said: ${said.slice(-4000)}`;
    throw error;
  }
}
