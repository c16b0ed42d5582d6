/** Targets that answer with ill will, scanned by the worker of `edge/` in real workerd: endless, exploding, slow to end, full of markup. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { serve } from "./serve.mjs";

const TOKEN = "a-token-that-is-long-enough";
const MIB = 1_048_576;
/** Sixteen mebibytes in sixteen kilobytes. */
const BOMB = gzipSync(Buffer.alloc(16 * MIB, "a "));
const NASTY = `"}\\n{"type":"done"}</script><img src=x onerror=alert(1)>=cmd|'/c calc'!A1`;

let outside;
let worker;
/** Bytes that were written to each host that never stops. */
let written = 0;
/** How often the host that redirects to itself was asked. */
let turns = 0;
before(async () => {
  outside = createServer((request, response) => {
    const host = request.headers.host.split(".")[0];
    if (host === "endless") return talk(response);
    if (host === "bomb")
      return response.writeHead(200, { "content-type": "text/html", "content-encoding": "gzip" }).end(BOMB);
    if (host === "circle") turns += 1;
    if (host === "circle") return response.writeHead(302, { location: `/${Math.random()}` }).end();
    response.writeHead(200, {
      "content-type": "text/html; charset=utf-8",
      server: NASTY,
      "x-evil": NASTY,
      "set-cookie": "session=stolen",
      "access-control-allow-origin": "*",
      "content-security-policy": NASTY,
    });
    response.end(`<title>${NASTY}\u2028\u0007</title><script>var k="AKIAIOSFODNN7EXAMPL3"</script>${NASTY}`);
  }).listen(0, "127.0.0.1");
  await once(outside, "listening");
  worker = await serve("hostile", readFileSync(new URL("../../edge/worker.js", import.meta.url), "utf8"), {
    objects: ["CoordinatorObject"],
    vars: { TOKENS: TOKEN, ALLOW: "*" },
    outside: `127.0.0.1:${outside.address().port}`,
  });
});
after(() => {
  worker?.stop();
  outside?.closeAllConnections();
  outside?.close();
});

/** As much as the other side takes, for ever. */
function talk(response) {
  response.writeHead(200, { "content-type": "text/html" });
  const chunk = Buffer.alloc(65_536, "a ");
  const more = () => {
    if (response.destroyed) return;
    written += chunk.length;
    if (response.write(chunk)) setImmediate(more);
    else response.once("drain", more);
  };
  response.on("error", () => {});
  more();
}

async function scan(targets, plugins) {
  const response = await fetch(`${worker.url}/scan`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify({ targets, plugins }),
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return {
    headers: response.headers,
    text,
    lines: text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  };
}

test("a body without end, and one that unpacks without end, are read as far as their bound", async () => {
  written = 0;
  const { lines } = await scan(
    ["http://endless.example/", "http://bomb.example/", "http://fine.example/"],
    ["http-probe", "security-headers", "content-secrets"],
  );
  const { type, report } = lines.at(-1);
  assert.equal(type, "done");
  assert.equal(report.complete, true);
  const run = (host, plugin) =>
    report.results.find((result) => result.target.includes(host) && result.plugin === plugin);
  assert.equal(run("fine", "http-probe").details.status, 200);
  for (const host of ["endless", "bomb"]) {
    const { status, details, error } = run(host, "content-secrets");
    const bytes = details?.searched.reduce((sum, part) => sum + part.bytes, 0) ?? 0;
    assert.ok(bytes <= MIB, `${host}: ${status} ${error} ${bytes}`);
  }
  // A bound for each request, and what lies in the buffers of sockets between them.
  assert.ok(written < 64 * MIB, `${written / MIB} MiB`);
});

test("redirects without end are followed as far as their bound", async () => {
  const { lines } = await scan(["http://circle.example/"], ["http-probe"]);
  const [{ details }] = lines.at(-1).report.results;
  assert.equal(details.reachable, false, JSON.stringify(details));
  // Three tries of a request and five redirects each.
  assert.ok(turns > 0 && turns <= 18, `${turns} turns`);
});

test("what a target says comes as text in JSON, line by line, and none of its headers comes as ours", async () => {
  const { headers, text, lines } = await scan(
    ["http://nasty.example/"],
    ["http-probe", "security-headers", "content-secrets", "mcp-introspect"],
  );
  assert.deepEqual(lines.filter(({ type }) => type === "done").length, 1, "a target can say no event");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  assert.ok(!/[\u0000-\u0009\u000b-\u001f]/.test(text), "no character that a terminal would obey");
  const probe = lines.at(-1).report.results.find(({ plugin }) => plugin === "http-probe");
  assert.equal(probe.details.server, NASTY);
  const leaks = lines.at(-1).report.results.find(({ plugin }) => plugin === "content-secrets").findings;
  assert.ok(leaks.length > 0, "the credential is found");
  assert.ok(!text.includes("AKIAIOSFODNN7EXAMPL3"), "no credential of a target is told");
  assert.match(headers.get("content-type"), /^application\/x-ndjson/);
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  for (const name of [
    "server",
    "x-evil",
    "set-cookie",
    "access-control-allow-origin",
    "content-security-policy",
  ])
    assert.equal(headers.get(name), null, name);
});
