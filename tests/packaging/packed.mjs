/**
 * The package as a stranger gets it: packed, and installed into an empty project.
 */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../../setup/needs.mjs";

export const execute = promisify(execFile);

let packed;

/** Packs `dist/` as it stands, once; gives the tarball's path and the files in it. */
export function pack() {
  packed ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), "tidegate-packed-"));
    process.once("exit", () => rm(folder, { recursive: true, force: true }));
    const { stdout } = await execute(
      "npm",
      ["pack", "--json", "--ignore-scripts", "--pack-destination", folder],
      { cwd: root },
    );
    const [{ filename, files }] = JSON.parse(stdout);
    return { folder, tarball: join(folder, filename), files: files.map(({ path }) => path) };
  })();
  return packed;
}

/** A new project with the tarball installed, and what else it needs; `files` are its sources by name. */
export async function project(files, packages = {}) {
  const { tarball } = await pack();
  const folder = await mkdtemp(join(tmpdir(), "tidegate-project-"));
  const manifest = {
    name: "stranger",
    private: true,
    type: "module",
    dependencies: { tidegate: `file:${tarball}`, ...packages },
  };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await execute("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
  });
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** The version of a package that this repository itself is built with. */
export async function ownVersion(name) {
  const { devDependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  return devDependencies[name];
}

/** The first code block of the README in one of these languages, as a reader would copy it. */
export async function readmeSnippet(...languages) {
  const text = await readFile(join(root, "README.md"), "utf8");
  for (const [, language, code] of text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)) {
    if (languages.includes(language)) return { language, code };
  }
  throw new Error(`The README has no code block in ${languages.join(" or ")}`);
}
