/** Reports as one page: the worst first, and whatever a target says is text. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { toHtml } from "tidegate/scan";

const SEVERITIES = { critical: 0, high: 0, medium: 0, low: 0, info: 0 };

function finding(target, severity, title, more = {}) {
  return { ...{ id: "p/x", title, severity, evidence: "", remediation: "", plugin: "p", target }, ...more };
}

function result(target, findings, more = {}) {
  return {
    ...{
      plugin: "p",
      target,
      start: 0,
      duration: 1,
      status: "ok",
      error: null,
      level: "discovery",
      waited: 0,
    },
    ...{ summary: "", details: null, findings },
    ...more,
  };
}

function report(results, more = {}) {
  return {
    ...{ schema: "urn:tidegate:report:1", tool: { name: "tidegate", version: "1.2.3" }, mode: "passive" },
    ...{
      plugins: ["p"],
      maxWorkers: 5,
      started: 0,
      finished: 2000,
      complete: true,
      targets: [],
      invalid: [],
    },
    ...{ results, summary: { targets: 2, reachable: 1, runs: {}, findings: SEVERITIES } },
    ...more,
  };
}

test("targets and their findings stand with the worst first, and only the grave ones are unfolded", () => {
  const page = toHtml(
    report([
      result("https://a.example/", [finding("https://a.example/", "low", "Small")]),
      result("https://b.example/", [
        finding("https://b.example/", "info", "Tiny"),
        finding("https://b.example/", "critical", "Huge", { evidence: "seen", remediation: "Mend it." }),
      ]),
    ]),
  );
  const order = ["https://b.example/", "Huge", "seen", "Mend it.", "Tiny", "https://a.example/", "Small"];
  assert.deepEqual(
    order.toSorted((a, b) => page.indexOf(a) - page.indexOf(b)),
    order,
  );
  assert.equal(page.match(/<details open>/g).length, 1);
  assert.match(page, /<title>Scan of 2 targets<\/title>/);
  assert.match(page, /1970-01-01T00:00:00\.000Z, 2\.0 s, passive, by tidegate 1\.2\.3/);
});

test("what a target says is text wherever it stands, and the page may run and fetch nothing", () => {
  const evil = `<img src=x onerror="alert('1')">&amp;`;
  const page = toHtml(
    report(
      [
        result(evil, [
          finding(evil, "low", evil, { id: evil, evidence: evil, remediation: evil, vector: evil }),
        ]),
        result(evil, [finding(evil, evil, "None of ours")]),
        result(evil, [], { status: "error", error: evil, plugin: evil }),
      ],
      { plugins: [evil], mode: evil, invalid: [{ input: evil, message: evil, line: null }] },
    ),
  );
  assert.ok(!page.includes("<img"));
  const shown = "&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;amp;";
  assert.equal(page.split(shown).length - 1, 13);
  assert.match(page, /content="default-src 'none'; style-src 'unsafe-inline'"/);
  assert.ok(page.indexOf("content-security-policy") < page.indexOf("<style>"));
});

test("what could not be looked at is said, and what is unfinished too", () => {
  const page = toHtml(
    report([result("https://a.example/", [], { status: "timeout", error: "It took too long." })], {
      ...{ complete: false, finished: null },
      invalid: [{ input: "ftp://x", message: "Only `http` and `https` are scanned.", line: 1 }],
    }),
  );
  for (const told of [
    "It was not complete",
    "Nothing was found.",
    "p: It took too long.",
    "ftp://x",
    "Only `http`",
  ])
    assert.ok(page.includes(told), told);
  const clean = toHtml(report([]));
  for (const heading of ["Runs that failed", "Not scanned", "It was not complete"])
    assert.ok(!clean.includes(heading), heading);
});
