/**
 * workerd: the cases run inside one request of a real worker.
 */

import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../../setup/needs.mjs";
import { atExit, killGroup, run } from "../../../setup/step.mjs";
import { link } from "../bundle.mjs";

const binary = join(root, "tests/node_modules/.bin/workerd");
const COMPATIBILITY_DATE = "2026-11-01";

export const workerd = {
  name: "workerd",
  missing: async () => {
    const { code } = await run(binary, ["--version"], { quiet: true });
    return code === 0 ? undefined : "workerd did not start";
  },
  async start(only) {
    const entry = `import { runCases } from "./cases.js";
export default {
  async fetch() {
    return Response.json(await runCases("workerd", ${JSON.stringify(only)}));
  },
};
`;
    const { folder, wasm } = await link("workerd", entry, ["workerd", "worker", "import"]);
    const config = join(folder, "config.capnp");
    writeFileSync(config, capnp(wasm));
    const { output } = await run(binary, ["--version"], { quiet: true });
    const results = await withServer(config, async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(300_000) });
      const text = await response.text();
      if (!response.ok) throw new Error(`workerd answered ${response.status}: ${text}`);
      return JSON.parse(text);
    });
    return { version: output.trim().replace(/^workerd /, ""), results };
  },
};

function capnp(wasm) {
  const modules = [
    `(name = "main.js", esModule = embed "main.js")`,
    ...wasm.map((file) => `(name = "${file}", wasm = embed "${file}")`),
  ];
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .worker)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  compatibilityDate = "${COMPATIBILITY_DATE}",
);
`;
}

/** Starts workerd on a free port, which it tells on its control channel. */
async function withServer(config, use) {
  const child = spawn(binary, ["serve", config, "--control-fd=3"], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const forget = atExit(() => killGroup(child));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  try {
    const port = await new Promise((resolve, reject) => {
      let control = "";
      child.stdio[3].on("data", (chunk) => {
        control += chunk;
        const listening = control.match(/"event":\s*"listen".*?"port":\s*(\d+)/);
        if (listening) resolve(Number(listening[1]));
      });
      child.once("exit", (code) => reject(new Error(`workerd ended with ${code}:\n${said}`)));
      child.once("error", reject);
    });
    return await use(port);
  } catch (error) {
    if (said.trim()) error.message += `\nworkerd said: ${said.slice(-4000)}`;
    throw error;
  } finally {
    killGroup(child);
    forget();
  }
}
