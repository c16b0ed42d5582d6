/**
 * `node setup/complete-lock.mjs [--folder tests]`: after `npm install`, enters into a lock file the optional packages
 * of other platforms that the registry at hand did not serve. `npm ci` refuses a lock file in which they are missing,
 * although it would never install them here.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFlags } from "./flags.mjs";
import { root } from "./needs.mjs";
import { main } from "./step.mjs";

const SYSTEMS = {
  darwin: "darwin",
  linux: "linux",
  win32: "win32",
  windows: "win32",
  android: "android",
  freebsd: "freebsd",
  openbsd: "openbsd",
  netbsd: "netbsd",
  sunos: "sunos",
  aix: "aix",
  openharmony: "openharmony",
};
const PROCESSORS = {
  x64: "x64",
  64: "x64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  ia32: "ia32",
  ppc64: "ppc64",
  s390x: "s390x",
  riscv64: "riscv64",
  loong64: "loong64",
  mips64el: "mips64el",
  wasm32: "wasm32",
};

await main(() => {
  const { folder } = readFlags({ folder: { kind: "text", initial: "." } });
  const path = join(root, folder, "package-lock.json");
  const lock = JSON.parse(readFileSync(path, "utf8"));
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (`${place}/node_modules/${name}` in lock.packages || `node_modules/${name}` in lock.packages)
        continue;
      const added = forPlatform(name, version, entry.dev);
      if (!added) continue;
      console.log(`${folder}: ${name}@${version}`);
      lock.packages[`node_modules/${name}`] = added;
    }
  }
  const [own, ...others] = Object.keys(lock.packages);
  lock.packages = Object.fromEntries([own, ...others.sort()].map((key) => [key, lock.packages[key]]));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
});

/** The entry of a package whose name ends in the platform it is for, such as `@biomejs/cli-linux-x64-musl`. */
function forPlatform(name, version, dev) {
  const words = name.split(/[/-]/);
  const os = words.map((word) => SYSTEMS[word]).find(Boolean);
  const cpu = words.map((word) => PROCESSORS[word]).find(Boolean);
  if (!os || !cpu || !/^\d/.test(version)) return undefined;
  const libc = words.includes("musl")
    ? ["musl"]
    : words.includes("glibc") || words.includes("gnu")
      ? ["glibc"]
      : undefined;
  return { version, cpu: [cpu], ...(dev && { dev }), ...(libc && { libc }), optional: true, os: [os] };
}
