/** In how many of the ways in which a page comes to its workers a real page runs a task in real Chromium. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { row } from "../side-by-side.mjs";

/** Vite built and served, webpack, Rollup, Parcel, esbuild, and no bundler. */
const WAYS = 7;

export async function bundlerRows() {
  const script = fileURLToPath(new URL("../../tests/packaging/bundlers.test.mjs", import.meta.url));
  const tests = spawn(process.execPath, ["--test", "--test-reporter=tap", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  tests.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  await new Promise((resolve) => tests.once("close", resolve));
  const passed = said.match(/^ *ok \d+ - a worker task runs in Chromium/gm)?.length ?? 0;
  if (passed < WAYS) console.error(said);
  return [
    row({
      bench: "workers: bundlers, and none, whose page runs a worker's task in Chromium",
      n: WAYS,
      peer: "all",
      version: "of them",
      unit: "ways",
      ours: passed,
      theirs: WAYS,
      direction: "higher",
      bar: 1,
    }),
  ];
}
