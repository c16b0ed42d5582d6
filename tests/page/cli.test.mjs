import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSite } from "./site.mjs";

const BIN = fileURLToPath(new URL("../../bin/tidegate.mjs", import.meta.url));

/** Targets whose answers depend on how often or how fast they are asked, or on chance. */
const UNSTEADY = /flaky|limited|always-limited/;

let site;
before(async () => {
  site = await openSite();
});
after(() => site?.close());

test("the command finds on the range what the page finds", async () => {
  const page = await site.open();
  await page.click("#scan");
  await page.ended();
  const ours = JSON.parse(await page.exported("json"));
  site.range.reset();
  const theirs = JSON.parse(await scan(site.range.index().targets.map(({ url }) => url)));

  assert.deepEqual(theirs.targets, ours.targets);
  assert.deepEqual(theirs.plugins, ours.plugins);
  assert.deepEqual(
    theirs.results.map(({ target, plugin }) => `${plugin} ${target}`),
    ours.results.map(({ target, plugin }) => `${plugin} ${target}`),
  );
  for (const { name, url, expect } of site.range.index().targets) {
    if (UNSTEADY.test(name)) continue;
    const [page, command] = [ours, theirs].map(
      (report) =>
        new Map(
          report.results.filter(({ target }) => target === url).map((result) => [result.plugin, result]),
        ),
    );
    const probes = [page, command].map((results) => results.get("http-probe").details.reachable);
    assert.equal(probes[0], probes[1], `${name} is as reachable for the one as for the other`);
    const tools = [page, command].map((results) =>
      results.get("mcp-introspect").details?.tools?.map((tool) => tool.name),
    );
    assert.deepEqual(tools[0], tools[1], `${name}: MCP tools`);
    if (expect.headers !== "all" || expect.outcome !== "answers") continue;
    for (const plugin of ours.plugins.filter((plugin) => plugin !== "port-probe")) {
      const [seen, told] = [page, command].map((results) => results.get(plugin));
      assert.equal(told.status, seen.status, `${name}, ${plugin}`);
      assert.deepEqual(kinds(told), kinds(seen), `${name}, ${plugin}`);
    }
  }
});

/** Findings by kind; cookies aside, which no browser shows to a page. */
function kinds({ findings }) {
  return findings
    .map(({ id, severity }) => `${severity} ${id}`)
    .filter((kind) => !kind.includes("cookie"))
    .sort();
}

/** Runs the command; findings make it exit with 1, which is not a failure of the command. */
function scan(targets) {
  return new Promise((resolve, reject) => {
    const command = spawn(process.execPath, [BIN, "scan", ...targets, "--format", "json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let said = "";
    command.stdout.setEncoding("utf8").on("data", (text) => {
      out += text;
    });
    command.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
    });
    command.once("close", (code) =>
      code === 0 || code === 1 ? resolve(out) : reject(new Error(`exit code ${code}: ${said}`)),
    );
  });
}
