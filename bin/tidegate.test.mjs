import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startRange } from "../range/range.mjs";

const bin = fileURLToPath(new URL("./tidegate.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "tidegate-"));
let range;
before(async () => {
  range = await startRange({ reference: false });
});
after(async () => {
  await range?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs the command to its end. `interrupt` sends it a Ctrl-C as soon as it says something. */
function tidegate(args, { input = "", interrupt = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bin, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      if (interrupt && stderr === "") child.kill("SIGINT");
      stderr += chunk;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.end(input);
  });
}

test("a clean target exits with 0 and a JSON report on standard output", async () => {
  const { code, stdout, stderr } = await tidegate(["scan", range.url("fast"), "--plugins", "http-probe"]);
  const report = JSON.parse(stdout);
  assert.equal(code, 0, stderr);
  assert.equal(report.complete, true);
  assert.deepEqual(report.targets, [range.url("fast")]);
  assert.match(stderr, /^1 target, 1 reachable; 1 plugin run in [\d.]+ s; findings: none\n$/);
});

test("findings at or above --fail-on exit with 1, and below it with 0", async () => {
  const target = range.url("broken");
  const at = await tidegate(["scan", target, "--plugins=http-probe", "--fail-on=medium"]);
  assert.equal(at.code, 1, at.stderr);
  const above = await tidegate(["scan", target, "--plugins=http-probe"]);
  assert.equal(above.code, 0, above.stderr);
});

test("an unreachable target is a result and no exit code", async () => {
  const { code, stdout } = await tidegate(["scan", range.url("refused"), "--plugins=http-probe"]);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).results[0].details.reachable, false);
});

test("every mistake gets one sentence with a suggestion, and what is good is scanned all the same", async () => {
  const mistakes = [
    [
      "ftp://example.com/",
      "Target `ftp://example.com/` has the scheme `ftp`; only `http` and `https` are scanned.",
    ],
    ["localhost:99999", "Target `localhost:99999` has `99999` where a port from 1 to 65535 is expected."],
    ["--plugins=http-prob", "There is no plugin `http-prob`; did you mean `http-probe`?"],
    [
      "--mode=agressive",
      "Expected `--mode` to be one of passive, active, got `agressive`; `passive` is used.",
    ],
    ["--mode=pasive", "got `pasive` (did you mean `passive`?); `passive` is used."],
    ["--max-workers=0", "Expected `--max-workers` to be an integer from 1 to 100, got `0`; 5 is used."],
    ["--formt=csv", "There is no option `--formt`; did you mean `--format`?"],
    ["--format=htm", "got `htm` (did you mean `html`?); `json` is used."],
    ["--file=/nowhere/list", "The file `/nowhere/list` cannot be read: there is no such file or folder."],
    ["--fail-on=hihg", "did you mean `high`?"],
    ["--plugins=cors-policy", "The plugin `cors-policy` is active: it runs with `--mode active` only."],
  ];
  for (const [mistake, sentence] of mistakes) {
    const { code, stdout, stderr } = await tidegate([
      "scan",
      mistake,
      range.url("fast"),
      "--plugins=http-probe",
    ]);
    assert.equal(code, 2, mistake);
    assert.ok(stderr.includes(sentence), `${mistake}: ${stderr}`);
    assert.equal(stderr.split("\n").length, 3, `one sentence and the summary: ${stderr}`);
    assert.equal(JSON.parse(stdout).summary.reachable, 1, mistake);
  }
});

test("nothing to scan is bad usage", async () => {
  for (const args of [
    ["scan"],
    ["scan", "ftp://x/"],
    ["scan", "--plugins=nonsense", "localhost:1"],
    ["skan"],
    [],
  ]) {
    const { code, stderr, stdout } = await tidegate(args);
    assert.equal(code, 2, args.join(" "));
    assert.ok(stderr.length > 0 || stdout.includes("Usage"), args.join(" "));
  }
});

test("targets come from files and standard input, and bad lines are named by number", async () => {
  const list = join(folder, "targets.txt");
  writeFileSync(list, `# ours\n${range.url("fast")} # quick\n\nhttp://\n`);
  const { code, stdout, stderr } = await tidegate(
    ["scan", "--file", list, "--file", "-", "--plugins=http-probe"],
    {
      input: range.url("steady"),
    },
  );
  assert.equal(code, 2);
  assert.match(stderr, /Target `http:\/\/` names no host\. \(line 4\)/);
  assert.deepEqual(JSON.parse(stdout).targets, [range.url("fast"), range.url("steady")]);
});

test("--out writes a file and keeps standard output clean; an unwritable one falls back to it", async () => {
  const out = join(folder, "report.csv");
  const target = range.url("fast");
  const written = await tidegate(["scan", target, "--plugins=http-probe", "--format=csv", "--out", out]);
  assert.deepEqual([written.code, written.stdout], [0, ""]);
  assert.match(readFileSync(out, "utf8"), /^target,plugin,status,/);
  const lost = await tidegate([
    "scan",
    target,
    "--plugins=http-probe",
    "--out",
    join(folder, "no/such/report.json"),
  ]);
  assert.equal(lost.code, 2);
  assert.match(lost.stderr, /cannot be written to `.*`: there is no such file or folder/);
  assert.equal(JSON.parse(lost.stdout).complete, true);
});

test("an interrupted scan writes what it has, and --resume takes it up", async () => {
  const out = join(folder, "half.json");
  const targets = [range.url("fast"), range.url("hanging")];
  const args = ["scan", ...targets, "--plugins=http-probe", "--out", out, "--verbose"];
  const first = await tidegate(args, { interrupt: true });
  assert.equal(first.code, 130, first.stderr);
  const half = JSON.parse(readFileSync(out, "utf8"));
  assert.equal(half.complete, false);
  assert.deepEqual(half.summary.runs, { ok: 1, error: 0, timeout: 0, skipped: 0, cancelled: 1 });
  range.target("hanging").set({ answer: "page" });
  const before = range.target("fast").hits;
  const second = await tidegate(["scan", ...targets, "--plugins=http-probe", "--resume", out]);
  assert.equal(second.code, 0, second.stderr);
  assert.equal(JSON.parse(second.stdout).summary.reachable, 2);
  assert.equal(range.target("fast").hits, before, "what was answered is not asked again");
  range.target("hanging").reset();
});

test("--verbose tells each result on standard error, without the target's control characters", async () => {
  const { stderr } = await tidegate(["scan", range.url("fast"), "--plugins=http-probe", "--verbose"]);
  assert.match(stderr, /fast.*|127\.0\.0\.1:\d+\/ http-probe: 200 in \d+ ms \(\d+ ms\)/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for them
  assert.doesNotMatch(stderr, /[\u0000-\u0009\u000b-\u001f\u007f]/);
});

test("--help tells of every option and --version of the version", async () => {
  const { stdout, code } = await tidegate(["scan", "--help"]);
  assert.equal(code, 0);
  for (const option of [
    "--file",
    "--plugins",
    "--mode",
    "--max-workers",
    "--format",
    "--out",
    "--fail-on",
    "--verbose",
  ]) {
    assert.ok(stdout.includes(option), option);
  }
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  assert.equal((await tidegate(["--version"])).stdout, `${version}\n`);
});
