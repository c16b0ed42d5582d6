/** Tokens of Cloudflare Access: which hold, which do not and why, and when keys are fetched. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { afterEach, before, beforeEach, mock, test } from "node:test";
import { CloudflareAccess, isAccessRefusedError, isAccessUnreachableError } from "tidegate/edge";
import { encode, Team } from "./team.mjs";

const NOW = 1_750_000_000_000;
const realFetch = globalThis.fetch;
let keys;
let team;
/** What the address of the keys answers; replaced where a test wants something else. */
let answer;

before(async () => {
  const made = await (await new Team().add("first")).add("second");
  keys = made;
});
beforeEach(() => {
  mock.timers.enable({ apis: ["Date"], now: NOW });
  team = keys;
  team.asked = 0;
  answer = () => Response.json(team.certs());
  globalThis.fetch = async (url, init) => {
    assert.equal(String(url), "https://acme.cloudflareaccess.com/cdn-cgi/access/certs");
    assert.equal(init.redirect, "manual");
    return answer();
  };
});
afterEach(() => {
  mock.timers.reset();
  globalThis.fetch = realFetch;
});

function access(options) {
  return new CloudflareAccess({ team: "acme", audience: team.audience, ...options });
}

async function refusedFor(promise) {
  const error = await promise.then(
    (identity) => assert.fail(`expected a rejection, got ${JSON.stringify(identity)}`),
    (reason) => reason,
  );
  assert.ok(isAccessRefusedError(error), String(error));
  return error.reason;
}

test("a token of the team for the application says who asks, as text or with the request", async () => {
  const token = await team.token();
  const gate = access();
  const request = new Request("https://a.example/", { headers: { "Cf-Access-Jwt-Assertion": token } });
  for (const given of [token, request]) {
    const { id, email, claims } = await gate.verify(given);
    assert.deepEqual([id, email], ["7335d417-61da-459d-899c-0a01c76a2f94", "user@example.com"]);
    assert.equal(claims.type, "app");
  }
  assert.equal(team.asked, 1);
});

test("a service token is known by its name, and a token of nobody is refused", async () => {
  const service = await access().verify(
    await team.token({ sub: "", email: undefined, common_name: "ci.access" }),
  );
  assert.deepEqual([service.id, service.email], ["ci.access", undefined]);
  assert.equal(await refusedFor(access().verify(await team.token({ sub: "" }))), "nobody");
});

test("a request without the header is refused, whatever its cookie says", async () => {
  const token = await team.token();
  const request = new Request("https://a.example/", { headers: { cookie: `CF_Authorization=${token}` } });
  assert.equal(await refusedFor(access().verify(request)), "missing");
  assert.equal(await refusedFor(access().verify("")), "missing");
  assert.equal(team.asked, 0);
});

test("no algorithm but RS256 is taken, whatever the token says of itself, and no key is fetched for it", async () => {
  const [head, body, signature] = (await team.token()).split(".");
  const known = JSON.parse(Buffer.from(head, "base64url"));
  // The public key, as a secret of HMAC: the oldest confusion of them (CVE-2015-9235).
  const secret = Buffer.from(team.keys[0].n, "base64url");
  for (const alg of [
    "HS256",
    "HS384",
    "none",
    "None",
    "NONE",
    "",
    "rs256",
    "RS384",
    "PS256",
    "ES256",
    null,
    ["RS256"],
  ]) {
    const other = encode({ ...known, alg });
    const mac = createHmac("sha256", secret).update(`${other}.${body}`).digest("base64url");
    for (const end of [signature, mac, "", "AA"]) {
      const reason = await refusedFor(access().verify(`${other}.${body}.${end}`));
      assert.equal(reason, "algorithm", `${alg}`);
    }
  }
  assert.equal(team.asked, 0);
});

test("a signature that is another's, or none, does not hold", async () => {
  const token = await team.token();
  const [head, body, signature] = token.split(".");
  const other = await team.token({ sub: "mallory" });
  const flipped = Buffer.from(signature, "base64url");
  flipped[100] ^= 1;
  for (const forged of [
    `${head}.${other.split(".")[1]}.${signature}`,
    `${head}.${body}.${other.split(".")[2]}`,
    `${head}.${body}.${flipped.toString("base64url")}`,
    `${head}.${body}.AA`,
    // Signed with the second key, and named as if with the first.
    await team.token({}, { kid: "first" }, { signer: "second" }),
  ])
    assert.equal(await refusedFor(access().verify(forged)), "signature");
});

test("what is no token is refused before anything is fetched", async () => {
  const [head, body, signature] = (await team.token()).split(".");
  const known = JSON.parse(Buffer.from(head, "base64url"));
  for (const text of [
    "x",
    `${head}.${body}`,
    `${head}.${body}.${signature}.${signature}`,
    `${head}.${body}.`,
    `${head}.${body}.${signature}=`,
    `${head}.${body}.${signature.slice(0, -1)}+`,
    `${head}.${body}. ${signature}`,
    `${head}..${signature}`,
    `${head}.${body}.${"A".repeat(20_000)}`,
    `${encode([known])}.${body}.${signature}`,
    `${encode(null)}.${body}.${signature}`,
    `${encode({ ...known, kid: undefined })}.${body}.${signature}`,
    `${encode({ ...known, kid: 7 })}.${body}.${signature}`,
    `${encode({ ...known, crit: ["exp"] })}.${body}.${signature}`,
    `${head}.${encode("claims")}.${signature}`,
    `${head}.${Buffer.from("{").toString("base64url")}.${signature}`,
    `${head}.${Buffer.from([0x7b, 0xff, 0x7d]).toString("base64url")}.${signature}`,
  ])
    assert.equal(await refusedFor(access().verify(text)), "malformed", text.slice(0, 200));
  assert.equal(team.asked, 0);
});

test("a token of another team, or for another application, is refused", async () => {
  const gate = access({ audience: ["another", team.audience] });
  for (const iss of [
    "https://evil.cloudflareaccess.com",
    "https://acme.cloudflareaccess.com/",
    "acme",
    undefined,
    [team.issuer],
  ])
    assert.equal(await refusedFor(gate.verify(await team.token({ iss }))), "issuer", `${iss}`);
  for (const aud of [undefined, "x", [], ["x"], [[team.audience]], `${team.audience} `, { 0: team.audience }])
    assert.equal(await refusedFor(gate.verify(await team.token({ aud }))), "audience", `${aud}`);
  await gate.verify(await team.token({ aud: "another" }));
  await gate.verify(await team.token({ aud: ["x", team.audience] }));
});

test("a token holds from its first millisecond to its last, with the leeway on both sides", async () => {
  const at = NOW / 1000;
  for (const leeway of [0, 60_000]) {
    const gate = access({ leeway });
    const token = await team.token({ nbf: at, iat: at, exp: at + 100 });
    for (const [ms, verdict] of [
      [-leeway - 1, "not-yet"],
      [-leeway, undefined],
      [100_000 + leeway - 1, undefined],
      [100_000 + leeway, "expired"],
    ]) {
      mock.timers.setTime(NOW + ms);
      if (verdict === undefined) await gate.verify(token);
      else assert.equal(await refusedFor(gate.verify(token)), verdict, `${ms} with ${leeway}`);
    }
  }
});

test("a token without an end, or with times that are none, is refused", async () => {
  for (const exp of [undefined, null, "9999999999", {}])
    assert.equal(await refusedFor(access().verify(await team.token({ exp }))), "expired", `${exp}`);
  for (const claims of [{ nbf: "0" }, { nbf: null }, { iat: "0" }, { iat: NOW }])
    assert.equal(await refusedFor(access().verify(await team.token(claims))), "not-yet");
  await access().verify(await team.token({ nbf: undefined, iat: undefined }));
});

test("keys are fetched once, again when they are old, and a new one at the first token that bears it", async () => {
  const gate = access({ keysFor: 3_600_000, pause: 30_000 });
  for (let index = 0; index < 10; index += 1) await gate.verify(await team.token());
  assert.equal(team.asked, 1);
  mock.timers.tick(3_599_999);
  await gate.verify(await team.token());
  assert.equal(team.asked, 1);
  mock.timers.tick(1);
  await gate.verify(await team.token());
  assert.equal(team.asked, 2);
  // The keys change: the old one stays published for a while, and then goes.
  mock.timers.tick(30_000);
  await team.add("third");
  await gate.verify(await team.token({}, {}, { signer: "third" }));
  assert.equal(team.asked, 3);
  const withdrawn = team.keys.findIndex(({ kid }) => kid === "third");
  team.keys.splice(withdrawn, 1);
  mock.timers.tick(3_600_000);
  assert.equal(await refusedFor(gate.verify(await team.token({}, {}, { signer: "third" }))), "unknown-key");
});

test("made-up names of keys cost one fetch in a pause, and not one each", async () => {
  const gate = access({ pause: 30_000 });
  await gate.verify(await team.token());
  mock.timers.tick(29_999);
  for (let index = 0; index < 50; index += 1)
    assert.equal(
      await refusedFor(gate.verify(await team.token({}, { kid: `made-up-${index}` }))),
      "unknown-key",
    );
  assert.equal(team.asked, 1);
  mock.timers.tick(1);
  for (let index = 0; index < 50; index += 1)
    await refusedFor(gate.verify(await team.token({}, { kid: `made-up-${index}` })));
  assert.equal(team.asked, 2);
});

test("keys that cannot be fetched: known ones serve for a day, and without any nobody passes", async () => {
  const gate = access();
  const unreachable = [
    () => new Response("down", { status: 503 }),
    () => Response.json({ keys: team.keys }, { status: 500 }),
    () => Promise.reject(new TypeError("no network")),
    () => new Response(null, { status: 302, headers: { location: "https://evil.example/" } }),
    () => new Response("<html>"),
    () => Response.json({ keys: [] }),
    () => Response.json(null),
    () => new Response(`{"keys":[${" ".repeat(300_000)}]}`),
  ];
  for (const fails of unreachable) {
    answer = fails;
    await assert.rejects(access().verify(await team.token()), isAccessUnreachableError);
  }
  answer = () => Response.json(team.certs());
  await gate.verify(await team.token());
  answer = unreachable[0];
  mock.timers.tick(23 * 3_600_000);
  await gate.verify(await team.token());
  mock.timers.tick(3_600_000);
  await assert.rejects(gate.verify(await team.token()), isAccessUnreachableError);
});

test("keys that are not for this are passed over, and short ones too", async () => {
  const others = await (await new Team().add("short", { bits: 1024 })).add("encrypts");
  const [short, encrypts] = others.keys;
  answer = () =>
    Response.json({
      keys: [
        null,
        7,
        { kid: "secret", kty: "oct", alg: "HS256", k: "AAAA" },
        { kid: "broken", kty: "RSA", alg: "RS256", n: "!", e: "AQAB" },
        { ...encrypts, use: "enc" },
        { ...encrypts, kid: "other", alg: "RS512" },
        short,
        ...team.keys,
      ],
    });
  const gate = access();
  await gate.verify(await team.token());
  for (const signer of ["short", "encrypts"])
    assert.equal(await refusedFor(gate.verify(await others.token({}, {}, { signer }))), "unknown-key");
  for (const kid of ["secret", "broken", "other", "__proto__", "constructor"])
    assert.equal(await refusedFor(gate.verify(await team.token({}, { kid }))), "unknown-key");
});

test("a team is named by its name or its address, and what is wrong is told at construction", () => {
  for (const name of ["acme", "acme.cloudflareaccess.com", "https://acme.cloudflareaccess.com"])
    assert.equal(new CloudflareAccess({ team: name, audience: "x" }).issuer, team.issuer);
  for (const [options, message] of [
    [{ audience: "x" }, /`team`/],
    [{ team: "", audience: "x" }, /`team`/],
    [{ team: "http://acme.example", audience: "x" }, /`team` to be .* https/],
    [{ team: "https://acme.example/path", audience: "x" }, /`team`/],
    [{ team: "acme" }, /`audience` to be an AUD tag/],
    [{ team: "acme", audience: [] }, /`audience`/],
    [{ team: "acme", audience: [7] }, /`audience\[0\]`/],
    [{ team: "acme", audience: "" }, /`audience\[0\]`/],
    [{ team: "acme", audience: "x", leeway: -1 }, /`leeway`/],
    [{ team: "acme", audience: "x", keysFor: "1h" }, /`keysFor`/],
    [{ team: "acme", audience: "x", pause: Number.NaN }, /`pause`/],
  ])
    assert.throws(() => new CloudflareAccess(options), message);
});
