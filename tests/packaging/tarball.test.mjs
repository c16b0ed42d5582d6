import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { manifest, targets } from "../../pkg-config/exports.mjs";
import { root } from "../../setup/needs.mjs";
import { execute, ownVersion, pack, project } from "./packed.mjs";

let stranger;
before(async () => {
  stranger = await project({}, { typescript: await ownVersion("typescript") });
});
after(() => stranger?.remove());

const inProject = (name, text, command, args) => async () => {
  await writeFile(join(stranger.folder, name), text);
  return execute(command, args, { cwd: stranger.folder, timeout: 60_000 }); // one that does not end is killed, and fails
};

test("the tarball holds every file that the exports promise, and neither sources nor the page", async () => {
  const { files } = await pack();
  const { exports, imports, bin = {} } = manifest(root);
  for (const path of [...targets(exports), ...targets(imports), ...targets(bin)])
    assert.ok(files.includes(path.replace("./", "")), `${path} is not packed`);
  for (const needed of ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md"])
    assert.ok(files.includes(needed), `${needed} is not packed`);
  const strays = files.filter(
    (path) => /^(src|js|www|tests|target|dist\/page)\//.test(path) || path.endsWith(".stamp"),
  );
  assert.deepEqual(strays, []);
});

test("the tarball installs without a dependency or an install script", () => {
  const { dependencies = {}, scripts = {} } = manifest(root);
  assert.deepEqual(dependencies, {});
  for (const name of ["preinstall", "install", "postinstall"]) assert.equal(scripts[name], undefined);
});

test("`import` and `require` both bring a ready package in Node", async () => {
  const use = `new Pool({ concurrency: 1 }).run(() => 7).then((value) => console.log(value));`;
  const imported = await inProject("use.mjs", `import { Pool } from "tidegate"; ${use}`, process.execPath, [
    "use.mjs",
  ])();
  assert.equal(imported.stdout, "7\n");
  const required = inProject("use.cjs", `const { Pool } = require("tidegate"); ${use}`, process.execPath, [
    "--experimental-require-module",
    "--no-warnings",
    "use.cjs",
  ]);
  assert.equal((await required()).stdout, "7\n");
});

test("the policies of the second module find it in an installed package", async () => {
  const { stdout } = await inProject(
    "store.mjs",
    `import { Cache } from "tidegate"; const cache = new Cache(); cache.set("a", 7); console.log(cache.get("a"));`,
    process.execPath,
    ["store.mjs"],
  )();
  assert.equal(stdout, "7\n");
});

test("the types are found under both ways of resolving modules, and nothing in them is missing", async () => {
  const specifiers = Object.keys(manifest(root).exports).filter((key) => !/\.(wasm|json)$/.test(key));
  const text = `${specifiers.map((key, n) => `import * as entry${n} from "${key.replace(/^\./, "tidegate")}";`).join("\n")}
console.log(${specifiers.map((_, n) => `entry${n}`).join(", ")});
`;
  for (const [module, resolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const args = [
      "node_modules/typescript/bin/tsc",
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--lib",
      "es2023,dom,esnext.disposable",
      "--types",
      "",
      "--module",
      module,
      "--moduleResolution",
      resolution,
      "use.ts",
    ];
    await assert.doesNotReject(inProject("use.ts", text, process.execPath, args), (error) => {
      throw new Error(`${resolution}: ${error.stdout}`);
    });
  }
});
