/**
 * What package.json promises, as a list: every file an `exports`, `imports` or `bin` entry leads to.
 */

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export function manifest(root) {
  return JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
}

/** The files behind one value of the exports map, whatever the depth of its conditions. */
export function targets(entry) {
  return typeof entry === "string" ? [entry] : Object.values(entry).flatMap(targets);
}

/** The file that `specifier` (`.`, `./scan`, …) leads to under these conditions. */
export function target(root, specifier, conditions) {
  let entry = manifest(root).exports[specifier];
  while (entry !== undefined && typeof entry !== "string") {
    const key = Object.keys(entry).find((name) => name === "default" || conditions.includes(name));
    entry = key === undefined ? undefined : entry[key];
  }
  return entry === undefined ? undefined : join(root, entry);
}

/** Promised files that are not there. */
export function missingExports(root) {
  const { exports = {}, imports = {}, bin = {} } = manifest(root);
  return [...targets(exports), ...targets(imports), ...targets(bin)].filter(
    (path) => !existsSync(join(root, path)),
  );
}
