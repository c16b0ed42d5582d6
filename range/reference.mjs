// The official MCP reference server as a target nobody here wrote, in a child process of its own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const PACKAGE = "@modelcontextprotocol/server-everything";
const PRELOAD = new URL("./loopback-only.mjs", import.meta.url);
const START_LIMIT = 30_000;

/** What version 2026.8.31 offers a client without sampling, elicitation or roots. */
export const REFERENCE_TOOLS = [
  "echo",
  "get-annotated-message",
  "get-env",
  "get-resource-links",
  "get-resource-reference",
  "get-structured-content",
  "get-sum",
  "get-tiny-image",
  "gzip-file-as-resource",
  "simulate-research-query",
  "toggle-simulated-logging",
  "toggle-subscriber-updates",
  "trigger-long-running-operation",
];

/**
 * Starts the reference server on loopback.
 *
 * @param {number} port  0 lets the system choose.
 * @returns {Promise<{ url: string, port: number, pid: number | undefined, close(): Promise<void> }>}
 * @throws {Error} When the package is not installed or the server does not come up.
 */
export async function startReference(port = 0) {
  const child = spawn(
    process.execPath,
    ["--import", pathToFileURL(fileURLToPath(PRELOAD)).href, entry(), "streamableHttp"],
    {
      // Its `get-env` tool shows its environment to whoever asks: it gets next to none.
      env: { PATH: process.env.PATH ?? "", PORT: String(port) },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    },
  );
  let said = "";
  child.stderr.on("data", (chunk) => {
    said = (said + chunk).slice(-2000);
  });
  const close = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL"); // it holds nothing worth saving, and its own SIGINT handler waits for open streams
    await ended;
  };
  let timer;
  try {
    const listening = await Promise.race([
      once(child, "message").then(([message]) => message.port),
      once(child, "exit").then(([code]) => {
        throw new Error(
          `The MCP reference server ended with code ${code} before it listened: ${said.trim() || "it said nothing"}`,
        );
      }),
      new Promise((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`The MCP reference server did not listen within ${START_LIMIT / 1000} s`)),
          START_LIMIT,
        );
      }),
    ]);
    return { url: `http://127.0.0.1:${listening}/mcp`, port: listening, pid: child.pid, close };
  } catch (error) {
    await close();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function entry() {
  try {
    const manifest = createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`);
    return join(dirname(manifest), "dist", "index.js");
  } catch {
    throw new Error(
      `The MCP reference server is not installed: run \`npm install\`, or start the range with --no-reference`,
    );
  }
}
