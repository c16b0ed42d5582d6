/** Reports as SARIF 2.1.0: what its readers need is there, and what a target says is text. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { toSarif } from "tidegate/scan";

const target = "https://a.example/";

function finding(severity, id, more = {}) {
  return {
    id,
    title: "T",
    severity,
    evidence: "",
    remediation: "",
    plugin: id.split("/")[0],
    target,
    ...more,
  };
}

function result(plugin, findings, more = {}) {
  return {
    ...{ plugin, target, start: 0, duration: 1, status: "ok", error: null, level: "discovery", waited: 0 },
    ...{ summary: "", details: null, findings },
    ...more,
  };
}

function report(results, more = {}) {
  return {
    schema: "urn:tidegate:report:1",
    tool: { name: "tidegate", version: "1.2.3" },
    ...{ mode: "passive", plugins: ["p"], maxWorkers: 5, started: 0, finished: 2000, complete: true },
    ...{ targets: [target], invalid: [], results, summary: {} },
    ...more,
  };
}

function runOf(results, more) {
  const { version, runs } = JSON.parse(toSarif(report(results, more)));
  assert.equal(version, "2.1.0");
  assert.equal(runs.length, 1);
  return runs[0];
}

test("each finding is a result of its rule, and a rule has the worst severity that it came with", () => {
  const { results, tool } = runOf([
    result("p", [
      finding("low", "p/one", { remediation: "Do it." }),
      finding("critical", "p/two", { vector: "CVSS:3.1/AV:N" }),
    ]),
    result("q", []),
    result("p", [finding("high", "p/one"), finding("info", "p/three")]),
  ]);
  assert.deepEqual(
    results.map(({ ruleId, ruleIndex, level }) => `${ruleId} ${ruleIndex} ${level}`),
    ["p/one 0 note", "p/two 1 error", "p/one 0 error", "p/three 2 note"],
  );
  assert.equal(results[1].properties.vector, "CVSS:3.1/AV:N");
  assert.equal(
    new Set(results.map(({ partialFingerprints }) => JSON.stringify(partialFingerprints))).size,
    3,
  );
  for (const { locations } of results)
    assert.equal(locations[0].physicalLocation.artifactLocation.uri, target);
  const { name, semanticVersion, rules } = tool.driver;
  assert.deepEqual([name, semanticVersion], ["tidegate", "1.2.3"]);
  assert.deepEqual(
    rules.map(({ id, properties }) => `${id} ${properties["security-severity"]}`),
    ["p/one 8.0", "p/two 9.5", "p/three 0.0"],
  );
  assert.deepEqual([rules[0].help, rules[1].help], [{ text: "Do it." }, undefined]);
});

test("what a target says is no placeholder and no link of a message, and stands beside it as it was", () => {
  const evidence = 'a {0} and a [link](javascript:alert(1)), no [link], "</script>"';
  const [{ message, properties }] = runOf([result("p", [finding("low", "p/x", { evidence })])]).results;
  assert.equal(message.text, 'T: a {{0}} and a \\[link](javascript:alert(1)), no [link], "</script>"');
  assert.equal(properties.evidence, evidence);
});

test("a backslash before a bracket does not make a link of it", () => {
  const evidence = String.raw`C:\temp, \[link](javascript:alert(1)) and C:\temp`;
  const [{ message }] = runOf([result("p", [finding("low", "p/x", { evidence })])]).results;
  assert.equal(message.text, String.raw`T: C:\\temp, \\\[link](javascript:alert(1)) and C:\temp`);
});

test("runs that failed are notifications, a hundred one by one; one that was only skipped is none", () => {
  const failed = Array.from({ length: 103 }, (_, n) =>
    result("p", [], { status: "error", error: `no ${n}` }),
  );
  const [invocation] = runOf([
    result("p", [], { status: "skipped", error: "nothing to do" }),
    ...failed,
    result("p", [], { status: "timeout", error: "late" }),
  ]).invocations;
  const texts = invocation.toolExecutionNotifications.map(({ message }) => message.text);
  assert.deepEqual(
    [texts.length, texts[0], texts[99], texts[100]],
    [101, "p: no 0", "p: no 99", "4 more runs failed."],
  );
  assert.deepEqual(
    [invocation.executionSuccessful, invocation.startTimeUtc, invocation.endTimeUtc],
    [true, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:02.000Z"],
  );
});

test("a report of a scan that runs still, and one without a finding, can be read too", () => {
  const { results, tool, invocations } = runOf([], { finished: null, complete: false });
  assert.deepEqual([results, tool.driver.rules], [[], []]);
  assert.deepEqual([invocations[0].executionSuccessful, invocations[0].endTimeUtc], [false, undefined]);
});

test("a long row of brackets takes no longer than any other text of its length", () => {
  // Squared, this would not end within the time that a test has.
  const evidence = `${"[".repeat(1_000_000)}](x)`;
  const [{ message }] = runOf([result("p", [finding("low", "p/x", { evidence })])]).results;
  assert.equal(message.text, `T: ${"\\[".repeat(1_000_000)}](x)`);
});
