import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { plugins, readTargets, Scanner, toCsv } from "../../dist/entrypoints/scan-node.js";
import { startRange } from "../../range/range.mjs";

let range;
before(async () => {
  range = await startRange();
});
after(() => range?.close());

/** Runs a scan to its end: its events and its report. */
async function scan(targets, options = {}, scanner = new Scanner(options)) {
  const events = [];
  for await (const event of scanner.scan(targets)) events.push(event);
  return { events, report: events.at(-1).report, scanner };
}

const result = (report, target, plugin) =>
  report.results.find((candidate) => candidate.target === target && candidate.plugin === plugin);

describe("the whole range", () => {
  let whole;
  before(async () => {
    whole = await scan(range.index().targets.map(({ url }) => url));
  });

  test("every target is found as the index says", () => {
    for (const { name, url, expect } of range.index().targets) {
      const { details } = result(whole.report, url, "http-probe");
      if (expect.outcome !== "mixed") assert.equal(details.reachable, expect.outcome === "answers", name);
      if (expect.outcome === "answers" && expect.status !== undefined)
        assert.equal(details.status, expect.status, name);
    }
  });

  test("every MCP server is found with its names, the reference server included", () => {
    const servers = range.index().targets.filter(({ expect }) => expect.mcp !== undefined);
    assert.ok(servers.length >= 8);
    for (const { name, url, expect } of servers) {
      const { details, status } = result(whole.report, url, "mcp-introspect");
      if (expect.mcp.refused === "error") assert.equal(status, "error", name);
      else if (expect.mcp.refused !== undefined) assert.equal(details.refused, expect.mcp.refused, name);
      else
        assert.deepEqual(details.tools.map((tool) => tool.name).sort(), [...expect.mcp.tools].sort(), name);
    }
    assert.equal(
      range.state().targets.every(({ openSessions }) => openSessions === 0),
      true,
      "sessions are ended",
    );
  });

  test("the report keeps to its schema, and every run has its record", () => {
    const schema = JSON.parse(
      readFileSync(new URL("../../dist/scan/report.schema.json", import.meta.url), "utf8"),
    );
    const validate = new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(schema);
    assert.ok(validate(whole.report), JSON.stringify(validate.errors?.slice(0, 3)));
    assert.equal(validate({ ...whole.report, mode: "loud" }), false, "the schema can say no");
    const runs = whole.report.results.map(({ target, plugin }) => `${target} ${plugin}`);
    assert.equal(new Set(runs).size, whole.report.targets.length * whole.report.plugins.length);
  });

  test("events tell the same as the report, each thing once", () => {
    const told = (type) => whole.events.filter((event) => event.type === type);
    assert.equal(whole.events[0].type, "started");
    assert.equal(told("result").length, whole.report.results.length);
    assert.equal(told("target-done").length, whole.report.targets.length);
    assert.ok(told("progress").length >= 2);
    assert.deepEqual([told("done").length, whole.events.at(-1).type], [1, "done"]);
    const metrics = whole.scanner.metrics();
    assert.deepEqual(
      [metrics.done, metrics.requests.active, metrics.eta],
      [whole.report.results.length, 0, 0],
    );
    assert.ok(metrics.latency.count > 100 && metrics.memory.wasmBytes > 0);
  });

  test("as CSV it has a row for each finding", () => {
    const rows = toCsv(whole.report).trimEnd().split("\r\n");
    const expected = whole.report.results.reduce(
      (sum, { findings }) => sum + Math.max(1, findings.length),
      0,
    );
    assert.ok(rows.length >= expected + 1);
  });
});

test("credentials left in a page and in its scripts are found, and are in no report", async () => {
  const { report } = await scan([range.url("leaky"), range.url("leaky-bundle")], {
    plugins: ["http-probe", "content-secrets"],
  });
  const [page, bundle] = ["leaky", "leaky-bundle"].map((name) =>
    result(report, range.url(name), "content-secrets"),
  );
  assert.deepEqual(
    page.findings.map(({ id, severity }) => [id, severity]),
    [
      ["content-secrets/aws-access-key-id", "high"],
      ["content-secrets/github-token", "low"],
    ],
  );
  assert.deepEqual(
    bundle.findings.map(({ id, severity }) => [id, severity]),
    [["content-secrets/stripe-secret-key", "critical"]],
  );
  assert.match(
    bundle.findings[0].evidence,
    /^sk_live_… \(\d+ characters\) at http:.*\/assets\/app\.js line 1 column \d+$/,
  );
  assert.deepEqual(
    bundle.details.skipped.map(({ name }) => name),
    ["https://cdn.invalid/x.js"],
  );
  const told = JSON.stringify(report) + toCsv(report);
  for (const secret of ["RANGE7EXAMPLE42Q", "r4ng3r4ng3", "RangeMadeUp"]) assert.ok(!told.includes(secret));
});

test("tools of MCP servers are judged alone and together, with reason, vector and remedy", async () => {
  const servers = ["mcp-toolbox", "mcp-hostile", "mcp-json", "mcp-locked", "fast"];
  const { report } = await scan(servers.map((name) => range.url(name)));
  const judged = Object.fromEntries(
    servers.map((name) => [name, result(report, range.url(name), "mcp-threats")]),
  );
  const kinds = (name) => new Set(judged[name].findings.map(({ id }) => id.replace("mcp-threats/", "")));
  for (const kind of [
    "code-execution",
    "file-read",
    "file-write",
    "network-access",
    "data-sending",
    "credential-access",
    "destructive",
    "misleading-annotation",
    "prompt-injection",
    "tool-shadowing",
    "exfiltration-path",
    "remote-code-path",
    "remote-destruction-path",
    "write-and-run-path",
  ])
    assert.ok(kinds("mcp-toolbox").has(kind), kind);
  for (const { evidence, remediation, vector } of judged["mcp-toolbox"].findings) {
    assert.ok(evidence !== "" && remediation !== "");
    assert.match(vector, /^CVSS:3\.1\/AV:[NL]\//);
  }
  const tide = judged["mcp-toolbox"].details.tools.find(({ name }) => name === "tide_table");
  assert.deepEqual([tide.score, tide.kinds], [0, []], "a harmless tool has nothing said against it");
  for (const kind of ["code-execution", "prompt-injection", "hidden-text", "destructive"])
    assert.ok(kinds("mcp-hostile").has(kind), kind);
  assert.deepEqual(judged["mcp-json"].findings, []);
  assert.match(judged["mcp-locked"].error, /asks who calls/);
  assert.equal(judged.fast.status, "skipped");
  assert.ok(toCsv(report).includes("CVSS:3.1/AV:"));
});

test("any number of workers finds the same", async () => {
  const targets = ["fast", "broken", "refused", "headers-weak", "mcp-json"].map((name) => range.url(name));
  const lasting = (report) =>
    report.results.map(({ target, plugin, status, error, findings }) => ({
      target,
      plugin,
      status,
      error,
      findings,
    }));
  let first;
  for (const maxWorkers of [1, 3, 10]) {
    const { report } = await scan(targets, { maxWorkers });
    first ??= lasting(report);
    assert.deepEqual(lasting(report), first);
  }
});

test("one worker starts one run after another, in the order of the targets", async () => {
  const targets = ["steady", "fast", "uneven"].map((name) => range.url(name));
  const { events } = await scan(targets, { maxWorkers: 1, plugins: ["http-probe", "port-probe"] });
  const runs = events.filter(({ type }) => type === "result").map((event) => event.result);
  assert.deepEqual(
    runs.map(({ target }) => target),
    targets.flatMap((target) => [target, target]),
  );
  for (const [index, run] of runs.entries()) {
    if (index > 0) assert.ok(run.start >= runs[index - 1].start + runs[index - 1].duration);
  }
});

test("a host that keeps failing is left alone, looked at again, and recovers", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"], perHost: { breaker: { openFor: 300 } } });
  const harbour = range
    .index()
    .targets.filter(({ name }) => name.startsWith("harbour"))
    .map(({ url }) => url);
  range.faults = true;
  const down = await scan(harbour, {}, scanner);
  range.faults = false;
  await new Promise((resolve) => setTimeout(resolve, 350));
  const up = await scan(harbour, {}, scanner);
  const changes = (events) =>
    events.filter(({ type }) => type === "breaker").map(({ from, to }) => `${from} ${to}`);
  assert.equal(changes(down.events)[0], "closed open");
  assert.deepEqual(changes(up.events).slice(-2), ["open half-open", "half-open closed"]);
  assert.equal(up.report.summary.reachable, harbour.length);
});

test("an aborted scan ends at once with a record for every run", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"] });
  const abort = new AbortController();
  const events = [];
  for await (const event of scanner.scan([range.url("fast"), range.url("hanging")], {
    signal: abort.signal,
  })) {
    events.push(event);
    if (event.type === "result") abort.abort();
  }
  const { cancelled, report } = events.at(-1);
  assert.deepEqual([cancelled, report.complete], [true, false]);
  assert.deepEqual(
    report.results.map(({ status }) => status),
    ["ok", "cancelled"],
  );
  const resumed = await scan([range.url("fast")], { plugins: ["http-probe"], resume: report });
  assert.equal(resumed.events[0].resumed, 1);
});

test("breaking out of the loop ends the scan, and the scanner can be used again", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"] });
  for await (const event of scanner.scan([range.url("hanging")])) {
    if (event.type === "started") break;
  }
  const { report } = await scan([range.url("fast")], {}, scanner);
  assert.equal(report.complete, true);
});

test("two scans at once of one scanner are refused", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"] });
  const first = scanner.scan([range.url("hanging")]);
  await first.next();
  await assert.rejects(scanner.scan([range.url("fast")]).next(), /at work/);
  await first.return();
});

test("a paused scan starts nothing until it is resumed", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"], maxWorkers: 1, progressEvery: 20 });
  const seen = [];
  for await (const event of scanner.scan([range.url("fast"), range.url("steady")])) {
    seen.push(event.type);
    if (event.type === "started") scanner.pause();
    if (
      event.type === "progress" &&
      event.paused &&
      seen.filter((type) => type === "progress").length === 20
    ) {
      assert.equal(event.done, 1, "what was at work went on");
      scanner.resume();
    }
  }
  assert.ok(seen.indexOf("paused") < seen.indexOf("resumed"));
  assert.equal(scanner.report().complete, true);
});

test("a fetch of the caller's is used, and an error in it is a result", async () => {
  const asked = [];
  const fetch = async (url) => {
    asked.push(url);
    if (url.includes("bad")) throw new Error("boom");
    return new Response("hello", { status: 418, headers: { server: "kettle" } });
  };
  const { report } = await scan(["http://good.test/", "http://bad.test/"], {
    fetch,
    plugins: ["http-probe"],
  });
  const [good, bad] = report.results.map(({ details }) => details);
  assert.deepEqual([good.status, good.server], [418, "kettle"]);
  assert.deepEqual([bad.reachable, bad.reason], [false, "boom"]);
  assert.equal(asked.length, 6);
});

test("a port range is probed in active mode only, through the host's sockets", async () => {
  const port = Number(new URL(range.url("fast")).port);
  const targets = [`127.0.0.1:${port}-${port + 1}`];
  const passive = await scan(targets, { plugins: ["port-probe"] });
  assert.deepEqual(
    passive.report.results.map(({ status }) => status),
    ["skipped", "skipped"],
  );
  const active = await scan(targets, { plugins: ["port-probe"], mode: "active" });
  assert.equal(active.report.results[0].details.state, "open");
  const blind = await scan([range.url("refused")], { plugins: ["port-probe"], connect: null });
  assert.equal(blind.report.results[0].details.state, "unknown", "without sockets nothing is called closed");
});

test("bad targets are told one by one and the rest is scanned", async () => {
  const { events, report } = await scan(["http://", `${range.url("fast")}, localhost:0`], {
    plugins: ["http-probe"],
  });
  const told = events.filter(({ type }) => type === "invalid-target").map(({ input }) => input);
  assert.deepEqual(told, ["http://", "localhost:0"]);
  assert.equal(report.summary.reachable, 1);
  assert.equal(readTargets(["a:1-3", "b:x"]).targets.length, 3);
});

test("bad options throw one sentence that names them", () => {
  for (const [options, says] of [
    [{ maxWorkers: 0 }, /Expected `maxWorkers` to be an integer from 1 to 100, got `0`/],
    [{ maxWorkers: "5" }, /Expected `maxWorkers` to be a finite number, got `5` \(string\)/],
    [{ taskTimeout: Number.NaN }, /`taskTimeout`.*`NaN`/],
    [{ mode: "loud" }, /Expected `mode` to be "passive" or "active"/],
    [{ maxworkers: 5 }, /Expected no option `maxworkers`/],
    [{ perHost: { rate: { limit: 1 } } }, /per/],
    [{ plugins: ["http-prob"] }, /did you mean `http-probe`/],
    [{ plugins: ["cors-policy"] }, /runs with the mode `active` only/],
    [{ fetch: 1 }, /Expected `fetch` to be a function/],
    [{ resume: 1 }, /Expected `resume` to be a report/],
  ]) {
    assert.throws(() => new Scanner(options), { name: "TypeError", message: says }, JSON.stringify(options));
  }
  assert.throws(() => new Scanner().scan("http://a/"), TypeError);
  assert.throws(() => new Scanner().report(), TypeError);
});

test("the plugins are known by name, mode and level", () => {
  const names = plugins().map(({ name }) => name);
  assert.deepEqual(names.sort(), [
    "content-secrets",
    "cors-policy",
    "http-probe",
    "mcp-introspect",
    "mcp-threats",
    "port-probe",
    "security-headers",
  ]);
});

test("listeners hear what the reader is given, and `using` ends the scan", async () => {
  const scanner = new Scanner({ plugins: ["http-probe"] });
  const heard = [];
  const off = scanner.on("result", ({ result }) => heard.push(result.target));
  const { report } = await scan([range.url("fast")], {}, scanner);
  off();
  await scan([range.url("steady")], {}, scanner);
  assert.deepEqual(heard, report.targets);
  const events = scanner.scan([range.url("hanging")]);
  await events.next();
  scanner[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
  let last;
  for await (const event of events) last = event;
  assert.equal(last.cancelled, true);
});
