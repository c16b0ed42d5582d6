#!/usr/bin/env node
// The command of the package. A tracked file, so that `npx tidegate` finds it in a fresh clone; there it builds first.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const cli = new URL("../dist/scan/cli.js", import.meta.url);
const build = new URL("../pkg-config/build.mjs", import.meta.url);

if (!existsSync(cli) && existsSync(build)) {
  process.stderr.write("tidegate is not built yet: building it now, once, which takes a few minutes.\n");
  // The report goes to stdout; what the build says does not belong there.
  spawnSync(process.execPath, [fileURLToPath(build)], { stdio: ["ignore", 2, 2] });
}
if (existsSync(cli)) {
  const { main } = await import(cli.href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write("tidegate is not built: run `npm run build` in its folder, then try again.\n");
  process.exitCode = 2;
}
