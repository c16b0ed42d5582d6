/**
 * Real workerd around a worker: linked with the package, started on a free port, ended with the test.
 */

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
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

/** Links an entry, whose imports are looked up beside the conformance cases, and starts it. */
export async function serve(name, entry, { date = CURRENT, flags = [] } = {}) {
  const { folder, wasm } = await link(name, entry, ["workerd", "worker", "import"]);
  const config = join(folder, "config.capnp");
  writeFileSync(config, capnp(wasm, date, flags));
  return start(config);
}

function capnp(wasm, date, flags) {
  const modules = [
    `(name = "main.js", esModule = embed "main.js")`,
    ...wasm.map((file) => `(name = "${file}", wasm = embed "${file}")`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  compatibilityDate = "${date}",
  compatibilityFlags = ${JSON.stringify(flags)},
);
`;
}

/** Starts workerd on a free port, which it tells on its control channel. */
async function start(config) {
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
    const port = await new Promise((resolve, reject) => {
      let control = "";
      child.stdio[3].on("data", (chunk) => {
        control += chunk;
        const listening = control.match(/"event":\s*"listen".*?"port":\s*(\d+)/);
        if (listening) resolve(Number(listening[1]));
      });
      child.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
      child.once("error", reject);
    });
    return { url: `http://127.0.0.1:${port}`, said: () => said.slice(-4000), stop };
  } catch (error) {
    stop();
    error.message += `\nworkerd said: ${said.slice(-4000)}`;
    throw error;
  }
}
