/**
 * Node, Deno and Bun: a process that resolves the package itself and prints its results on the last line.
 */

import { join } from "node:path";
import { root } from "../../../setup/needs.mjs";
import { run } from "../../../setup/step.mjs";
import { beside } from "../bundle.mjs";

const MARK = "conformance results: ";

const tool = (name) => join(root, "tests/node_modules/.bin", name);

/** How each starts a worker beside the cases. */
const NODE_WORKER = `import { Worker } from "node:worker_threads";`;

function processRuntime(name, command, args, versionOf, { imports = "", last = "" } = {}) {
  return {
    name,
    missing: async () => {
      const { code } = await run(command, ["--version"], { quiet: true });
      return code === 0 ? undefined : `${name} did not start`;
    },
    async start(only) {
      const entry = beside(
        name,
        `${imports}
import { runCases, surroundings } from "./cases.js";
surroundings.worker = ({ name }) => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
const results = await runCases(${JSON.stringify(name)}, ${JSON.stringify(only)});
console.log(${JSON.stringify(MARK)} + JSON.stringify({ version: ${versionOf}, results }));
${last}
`,
      );
      const { code, output } = await run(command, [...args, entry], {
        quiet: true,
        cwd: root,
        timeout: 300_000,
      });
      const line = output.split("\n").findLast((text) => text.startsWith(MARK));
      if (!line) throw new Error(`${name} ended with ${code} and without results:\n${output.slice(-4000)}`);
      return JSON.parse(line.slice(MARK.length));
    },
  };
}

export const node = processRuntime("node", process.execPath, ["--enable-source-maps"], "process.version", {
  imports: NODE_WORKER,
});
export const deno = processRuntime(
  "deno",
  tool("deno"),
  ["run", "--allow-all", "--no-lock", "--no-remote", "--node-modules-dir=manual"],
  "Deno.version.deno",
  // A worker that was terminated while it computed without end computes on there, and the process with it.
  { last: "Deno.exit(0);" },
);
export const bun = processRuntime("bun", tool("bun"), ["run"], "Bun.version");
