/** The worker of `edge/` in real workerd: who may ask, with Access before it or without anything, and how much. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { serve } from "./serve.mjs";
import { encode, Team } from "./team.mjs";

const WORKER = readFileSync(new URL("../../edge/worker.js", import.meta.url), "utf8");
const TOKEN = "a-token-that-is-long-enough";
const OTHER = "another-token-that-is-long-enough";
const TARGETS = { targets: ["http://host.example/"], plugins: ["http-probe"] };

let outside;
let team;
let contacted = [];

before(async () => {
  team = await (await new Team().add("first")).add("second");
  outside = createServer((request, response) => {
    const { host } = request.headers;
    contacted.push(host);
    if (host === "acme.cloudflareaccess.com" && request.url === "/cdn-cgi/access/certs")
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(team.certs()));
    else response.writeHead(200, { "content-type": "text/html" }).end("hello");
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => outside.once("listening", resolve));
});
after(() => {
  outside?.closeAllConnections();
  outside?.close();
});

/** A worker for the tests of a `describe`, and how to ask it. */
function around(name, { vars, isolates = 1, objects = ["CoordinatorObject"] }) {
  const the = {};
  before(async () => {
    contacted = [];
    the.worker = await serve(`callers-${name}`, WORKER, {
      objects,
      isolates,
      vars: { ALLOW: "*:*", ...vars },
      outside: `127.0.0.1:${outside.address().port}`,
    });
  });
  after(() => the.worker?.stop());
  const ask = async (
    path,
    { token, jwt, order, isolate = 0, headers = {}, method = order ? "POST" : "GET" } = {},
  ) => {
    const response = await fetch(`${the.worker.urls[isolate]}${path}`, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(order === undefined ? {} : { body: JSON.stringify(order) }),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(jwt === undefined ? {} : { "cf-access-jwt-assertion": jwt }),
        ...headers,
      },
    });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  return { the, ask };
}

/** The first answer that is as it is looked for. */
async function first(isIt, asks) {
  for (let index = 0; index < 200; index += 1) {
    const answer = await asks(index);
    if (isIt(answer)) return answer;
  }
  return assert.fail("none of 200 was");
}

describe("a worker behind Access", () => {
  const { ask } = around("access", {
    vars: { ACCESS_TEAM: "acme", ACCESS_AUDIENCE: new Team().audience, ORIGINS: "https://page.example" },
  });

  test("whom Access lets through may ask, and its keys are fetched once for all of them", async () => {
    const tokens = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        team.token({ sub: `person-${index}` }, {}, { signer: index % 2 ? "first" : "second" }),
      ),
    );
    for (const [index, jwt] of tokens.entries()) {
      const { status, text } = await ask("/metrics", { jwt });
      assert.equal(status, 200);
      const callers = [...text.matchAll(/caller="([^"]*)"/g)].map(([, caller]) => caller);
      assert.deepEqual([...new Set(callers)], [`access person-${index}`], "nobody sees another's counts");
    }
    assert.equal(team.asked, 1);
    const { status, text } = await ask("/scan", { jwt: tokens[0], order: TARGETS });
    assert.equal(status, 200, text);
    assert.match(text, /"type":"done"/);
    assert.match((await ask("/metrics", { jwt: tokens[0] })).text, /caller="access person-0"/);
  });

  test("tokens that do not hold are refused with the reason, and no target hears of it", async () => {
    const [head, body, signature] = (await team.token()).split(".");
    const known = JSON.parse(Buffer.from(head, "base64url"));
    const past = Math.floor(Date.now() / 1000) - 3600;
    contacted = [];
    for (const [jwt, reason] of [
      [undefined, "missing"],
      ["x.y.z", "malformed"],
      [`${encode({ ...known, alg: "none" })}.${body}.`, "algorithm"],
      [`${encode({ ...known, alg: "none" })}.${body}.AA`, "algorithm"],
      [`${encode({ ...known, alg: "HS256" })}.${body}.${signature}`, "algorithm"],
      [
        `${head}.${encode({ ...JSON.parse(Buffer.from(body, "base64url")), sub: "mallory" })}.${signature}`,
        "signature",
      ],
      [await team.token({}, { kid: "second" }), "signature"],
      [await team.token({}, { kid: "nobody's" }), "unknown-key"],
      [await team.token({ exp: past }), "expired"],
      [await team.token({ exp: undefined }), "expired"],
      [await team.token({ nbf: past + 7200 }), "not-yet"],
      [await team.token({ iss: "https://evil.cloudflareaccess.com" }), "issuer"],
      [await team.token({ aud: ["another"] }), "audience"],
    ]) {
      const { status, text } = await ask("/scan", { jwt, order: TARGETS });
      assert.equal(status, 401, `${reason}: ${text}`);
      assert.match(JSON.parse(text).error, new RegExp(`\\(${reason}\\)$`));
    }
    assert.deepEqual(
      contacted.filter((host) => host === "host.example"),
      [],
    );
  });

  test("a page of another site cannot have its reader's browser scan, and one that is named may", async () => {
    const jwt = await team.token();
    contacted = [];
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { "sec-fetch-site": "cross-site" },
    ])
      assert.equal(
        (await ask("/scan", { jwt, order: TARGETS, headers })).status,
        403,
        JSON.stringify(headers),
      );
    assert.deepEqual(contacted, []);
    for (const headers of [{}, { origin: "https://page.example" }, { "sec-fetch-site": "same-origin" }])
      assert.equal(
        (await ask("/scan", { jwt, order: TARGETS, headers })).status,
        200,
        JSON.stringify(headers),
      );
  });
});

describe("a worker that nothing is configured for", () => {
  const { the, ask } = around("bare", { vars: { ALLOW: "" }, objects: [] });

  test("refuses everybody with one sentence that says what is missing", async () => {
    const jwt = await team.token();
    for (const path of ["/scan", "/metrics"])
      for (const given of [{}, { token: TOKEN }, { token: "undefined" }, { jwt }]) {
        const { status, text } = await ask(path, { ...given, order: TARGETS });
        assert.equal(status, 401);
        assert.deepEqual(JSON.parse(text), {
          error:
            "nobody may ask yet: this worker is configured with neither tokens (TOKENS) nor Cloudflare Access (ACCESS_TEAM and ACCESS_AUDIENCE)",
        });
      }
    assert.deepEqual(contacted, []);
    assert.equal((await ask("/healthz")).status, 200);
    assert.ok(!the.worker.said().includes("Error"), the.worker.said());
  });
});

describe("a worker that has tokens and allows no target", () => {
  const { ask } = around("closed", { vars: { ALLOW: "", TOKENS: TOKEN } });

  test("says so, and contacts nothing", async () => {
    const { status, text } = await ask("/scan", { token: TOKEN, order: TARGETS });
    assert.equal(status, 403);
    assert.match(
      JSON.parse(text).error,
      /^nothing may be scanned yet: .*\(ALLOW, the option `targets.allow`\)$/,
    );
    assert.deepEqual(contacted, []);
  });
});

describe("a worker whose variable METRICS is wrong", () => {
  const { ask } = around("metrics", { vars: { TOKENS: TOKEN, METRICS: "everything" } });

  test("says so", async () => {
    const { status, text } = await ask("/metrics", { token: TOKEN });
    assert.equal(status, 503);
    assert.match(JSON.parse(text).error, /`metrics` to be `own` or `all`/);
  });
});

describe("a worker that is configured wrongly", () => {
  const { ask } = around("wrong", { vars: { TOKENS: "short" } });

  test("says what is wrong, shows no token, and opens nothing", async () => {
    const { status, text } = await ask("/scan", { token: "short", order: TARGETS });
    assert.equal(status, 503);
    assert.match(JSON.parse(text).error, /`tokens\[0\]` to be a string of at least 16 characters$/);
    assert.deepEqual(contacted, []);
  });
});

describe("quotas, with two isolates and one coordinator", () => {
  const { ask } = around("quotas", {
    vars: {
      TOKENS: `${TOKEN},${OTHER}`,
      REQUESTS_PER_MINUTE: "40",
      SCANS_PER_MINUTE: "3",
      TARGETS_PER_DAY: "30",
      METRICS: "all",
    },
    isolates: 2,
  });
  const scan = (token, targets, isolate) =>
    ask("/scan", {
      token,
      isolate,
      order: {
        targets: Array.from({ length: targets }, (_, index) => `http://t${index}.example/`),
        plugins: ["http-probe"],
      },
    });

  test("targets of a day are counted over both isolates, and an order is taken whole or not at all", async () => {
    contacted = [];
    assert.equal((await scan(TOKEN, 20, 0)).status, 200);
    assert.equal(new Set(contacted).size, 20);
    contacted = [];
    const late = await scan(TOKEN, 11, 1);
    assert.equal(late.status, 429, late.text);
    assert.deepEqual(contacted, []);
    assert.equal(JSON.parse(late.text).error, "the quota of 30 targets in 1440 minutes is used up");
    // One comes back in 48 minutes.
    const seconds = Number(late.headers.get("retry-after"));
    assert.ok(seconds > 2000 && seconds <= 2880, String(seconds));
    assert.equal((await scan(TOKEN, 10, 1)).status, 200);
    assert.equal(new Set(contacted).size, 10);
  });

  test("an order above the whole quota is none, and waiting would not help", async () => {
    const { status, text } = await scan(OTHER, 31, 0);
    assert.equal(status, 400);
    assert.equal(JSON.parse(text).error, "expected at most 30 targets");
  });

  test("scans in a minute are counted over both isolates, for each token alone", async () => {
    // Three have begun; however long they took, they come back more slowly than they are asked for.
    const late = await first(
      ({ text }) => /3 scans/.test(text),
      (index) => scan(TOKEN, 1, index % 2),
    );
    assert.equal(late.status, 429);
    assert.equal(JSON.parse(late.text).error, "the quota of 3 scans in 1 minutes is used up");
    const seconds = Number(late.headers.get("retry-after"));
    assert.ok(seconds >= 1 && seconds <= 20, String(seconds));
    assert.equal((await scan(OTHER, 1, 1)).status, 200);
  });

  test("requests in a minute are counted over both isolates, and what was counted stands in the metrics", async () => {
    const limited = await first(
      ({ status }) => status === 429,
      (index) => ask("/metrics", { token: TOKEN, isolate: index % 2 }),
    );
    assert.match(JSON.parse(limited.text).error, /^the quota of 40 requests in 1 minutes is used up$/);
    assert.ok(Number(limited.headers.get("retry-after")) >= 1);
    const metrics = (isolate) => ask("/metrics", { token: OTHER, isolate });
    const [one, other] = [(await metrics(0)).text, (await metrics(1)).text];
    assert.match(
      one + other,
      /^tidegate_caller_scans_total\{caller="token [0-9a-f]{12}",outcome="limited"\} [1-9]/m,
    );
    assert.match(one, /^tidegate_caller_targets_total\{caller="token [0-9a-f]{12}",outcome="allowed"\} 20$/m);
    assert.match(
      other,
      /^tidegate_caller_targets_total\{caller="token [0-9a-f]{12}",outcome="allowed"\} 10$/m,
    );
    assert.match(
      other,
      /^tidegate_caller_targets_total\{caller="token [0-9a-f]{12}",outcome="limited"\} 1[1-9]$/m,
    );
    assert.match(
      one + other,
      /^tidegate_caller_requests_total\{caller="token [0-9a-f]{12}",outcome="limited"\} 1$/m,
    );
    for (const text of [one, other]) assert.ok(!text.includes(TOKEN) && !text.includes(OTHER));
  });
});

describe("quotas without a coordinator", () => {
  const { ask } = around("alone", { vars: { TOKENS: TOKEN, SCANS_PER_MINUTE: "2" }, objects: [] });

  test("hold in each isolate", async () => {
    const scan = () => ask("/scan", { token: TOKEN, order: TARGETS });
    assert.deepEqual([(await scan()).status, (await scan()).status], [200, 200]);
    assert.equal((await first(({ status }) => status !== 200, scan)).status, 429);
  });
});
