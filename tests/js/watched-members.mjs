/** Runs the conformance cases with a witness before each public member; prints what failed and which were never called. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import * as tidegate from "tidegate";
import * as workers from "tidegate/workers";
import { root } from "../../setup/needs.mjs";

const called = new Set();
const members = [
  ...Object.entries(tidegate).flatMap(([name, value]) => watched(name, value, "")),
  ...Object.entries(workers).flatMap(([name, value]) => watched(name, value, "worker/")),
];
const suite = pathToFileURL(process.argv[2]).href;
const { runCases, surroundings } = await import(suite);
surroundings.worker = ({ name }) => new Worker(new URL("worker.js", suite), { name });
const cases = await runCases("node");
const failed = cases.filter(({ outcome }) => outcome === "failed").map(({ name, why }) => `${name}: ${why}`);
const silent = members.filter((member) => !called.has(member));
process.stdout.write(JSON.stringify({ cases: cases.length, members: members.length, failed, silent }));

/** Puts a witness before each public member of a class; gives their names. */
function watched(name, value, folder) {
  if (typeof value !== "function" || value.prototype === undefined || value.prototype instanceof Error)
    return [];
  const names = publicMembers(name, folder);
  return names.flatMap((member) => {
    for (let place = value.prototype; place !== Object.prototype; place = Object.getPrototypeOf(place)) {
      const descriptor = Object.getOwnPropertyDescriptor(place, member);
      if (descriptor === undefined) continue;
      const tell = (fn) =>
        fn &&
        function (...args) {
          called.add(`${this.constructor.name}.${member}`);
          return Reflect.apply(fn, this, args);
        };
      const { value: method, get } = descriptor;
      Object.defineProperty(place, member, {
        ...descriptor,
        ...(get === undefined ? { value: tell(method) } : { get: tell(get) }),
      });
      return [`${name}.${member}`];
    }
    return [];
  });
}

/** What the declarations show of a class and of what it extends: those that are `@internal` left out. */
function publicMembers(name, folder) {
  const index = readFileSync(join(root, `dist/${folder}index.d.ts`), "utf8");
  const file = index.match(new RegExp(`\\b${name}\\b[^;]*from "\\./(.+?)\\.js"`))?.[1];
  if (file === undefined) return [];
  return [...declared(folder + file, name)];
}

function* declared(file, name) {
  const text = readFileSync(join(root, `dist/${file}.d.ts`), "utf8").replace(
    / *\/\*\* @internal(?:(?!\*\/)[\s\S])*\*\/\n[^;]*;\n/g,
    "",
  );
  const body = text.match(
    new RegExp(`class ${name}\\b(?:<[^{]*?>)?(?: extends (\\w+)[^{]*)?[^{]*\\{([\\s\\S]*?)\\n\\}`),
  );
  if (body === null) return;
  const [, parent, lines] = body;
  for (const [, member] of lines.matchAll(/^ {4}(?:readonly |get |abstract |async )*(\w+)(?:<.*?>)?[(:?]/gm))
    if (!["constructor", "private", "protected"].includes(member)) yield member;
  if (parent === undefined) return;
  const from = text.match(new RegExp(`\\b${parent}\\b[^;]*from "\\./(.+?)\\.js"`))?.[1] ?? file;
  yield* declared(from, parent);
}
