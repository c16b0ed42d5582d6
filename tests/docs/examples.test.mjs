import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { transform } from "esbuild";
import { root } from "../../setup/needs.mjs";
import { snippets } from "./snippets.mjs";

const execute = promisify(execFile);
const folder = join(root, "tests/.build/docs");
const all = snippets();

before(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const { name, code } of all) writeFileSync(join(folder, `${name}.ts`), code);
  const compilerOptions = {
    target: "es2022",
    lib: ["es2023", "esnext.disposable", "dom", "dom.iterable", "dom.asynciterable"],
    module: "esnext",
    moduleResolution: "bundler",
    types: ["node"],
    typeRoots: [join(root, "node_modules/@types")],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
});

test("every example is of the types that the package declares", async () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  await assert.doesNotReject(execute(process.execPath, [tsc, "-p", folder, "--pretty", "false"]), (error) => {
    throw new Error(whereItStands(error.stdout));
  });
});

for (const { place, name, code, says } of all.filter(({ runs }) => runs)) {
  test(`the example at ${place} runs`, async () => {
    const script = join(folder, `${name}.mjs`);
    const { code: stripped } = await transform(code, { loader: "ts", target: "node20", format: "esm" });
    writeFileSync(script, stripped);
    const { stdout } = await execute(process.execPath, [script], { timeout: 30_000 });
    const printed = stdout.split("\n");
    for (const line of says) {
      const end = endOf(line, printed);
      assert.notEqual(end, -1, `it says that it prints \`${line}\`; it printed:\n${stdout}`);
      printed.splice(0, end);
    }
  });
}

/** Where what an example says ends among the lines it printed: a line, or what a loop printed, separated by commas. */
function endOf(said, printed) {
  const whole = printed.indexOf(said);
  if (whole !== -1) return whole + 1;
  const pieces = said.split(", ");
  const first = printed.findIndex((_, at) => pieces.every((piece, n) => printed[at + n] === piece));
  return first === -1 ? -1 : first + pieces.length;
}

/** The compiler's messages with the places that a reader knows: a block's first line follows its fence. */
function whereItStands(messages) {
  return messages.replace(/^(\S+)\.ts\((\d+),/gm, (whole, path, line) => {
    const found = all.find(({ name }) => path.endsWith(name));
    const [file, fence] = found?.place.split(":") ?? [];
    return file === undefined ? whole : `${file}:${Number(fence) + Number(line)} (`;
  });
}
