/** Targets of strangers: what is inside somebody's network is refused, however it is written; what is allowed is fetched. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { runInNewContext } from "node:vm";
import {
  isAccessRefusedError,
  isTargetRefusedError,
  resolveOverHttps,
  TargetGuard,
  TargetRefusedError,
} from "tidegate/edge";
import { HOSTILE, PUBLIC } from "./targets.mjs";

const open = { allow: ["*:*"] };

const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

/** A network of answers by address, which counts what reaches it. */
function network(answers) {
  const sent = [];
  globalThis.fetch = async (url, init) => {
    const request = new Request(url, init);
    sent.push(request);
    const answer = answers[request.url];
    if (answer === undefined) throw new Error(`nobody expected ${request.url}`);
    return typeof answer === "function" ? answer(request) : redirect(answer);
  };
  return sent;
}

function redirect(to, status = 302) {
  return new Response("elsewhere", { status, headers: { location: to } });
}

function refusal(call) {
  try {
    call();
  } catch (error) {
    assert.ok(isTargetRefusedError(error), String(error));
    return error.reason;
  }
}

async function refusedFor(promise) {
  const error = await promise.then(
    () => assert.fail("expected a rejection"),
    (reason) => reason,
  );
  assert.ok(isTargetRefusedError(error), String(error));
  return error.reason;
}

test("eighty ways to name a private place are refused, though everything public is allowed", async () => {
  assert.ok(HOSTILE.length >= 80);
  const sent = network({});
  const guard = new TargetGuard(open);
  for (const target of HOSTILE) {
    assert.notEqual(
      refusal(() => guard.admit(target)),
      undefined,
      target,
    );
    // A request with credentials in its address cannot even be made.
    const { username = "", password = "" } = URL.canParse(target) ? new URL(target) : {};
    if (URL.canParse(target) && username + password === "") await refusedFor(guard.fetch(target));
  }
  assert.deepEqual(sent, []);
});

test("a redirect to any of them is refused, and nothing is sent there", async () => {
  const guard = new TargetGuard(open);
  for (const target of HOSTILE.filter((target) => target !== "")) {
    const sent = network({ "https://example.com/": target });
    await assert.rejects(guard.fetch("https://example.com/"), target);
    assert.deepEqual(
      sent.map(({ url }) => new URL(url).hostname),
      sent.map(() => "example.com"),
      target,
    );
  }
});

test("what is public passes where everything public is allowed", () => {
  assert.ok(PUBLIC.length >= 20);
  const guard = new TargetGuard(open);
  for (const target of PUBLIC)
    assert.equal(
      refusal(() => guard.admit(target)),
      undefined,
      target,
    );
});

test("nothing passes that is not allowed by name, and nothing at all without configuration", () => {
  for (const target of PUBLIC)
    assert.equal(
      refusal(() => new TargetGuard().admit(target)),
      "not-allowed",
    );
  const guard = new TargetGuard({ allow: ["example.com", "*.example.org", "example.net:8443", "1.1.1.1:*"] });
  const verdicts = Object.entries({
    "https://example.com/": undefined,
    "http://EXAMPLE.com./": undefined,
    "https://example.com:8443/": "not-allowed",
    "https://www.example.com/": "not-allowed",
    "https://notexample.com/": "not-allowed",
    "https://example.com.evil.example/": "not-allowed",
    "https://a.b.example.org/": undefined,
    "https://example.org/": "not-allowed",
    "https://evilexample.org/": "not-allowed",
    "https://example.net:8443/": undefined,
    "https://example.net/": "not-allowed",
    "http://1.1.1.1:9999/": undefined,
    "http://1.1.1.1:22/": "port",
  });
  for (const [target, verdict] of verdicts)
    assert.equal(
      refusal(() => guard.admit(target)),
      verdict,
      target,
    );
});

test("blocks of addresses allow addresses, to the bit, and no names", () => {
  const guard = new TargetGuard({
    allow: [
      "198.41.128.0/17",
      "1.1.1.1/32:8443",
      "2606:4700::/32",
      "[2a00:1450:4001:800::]/55:*",
      "8.0.0.0/7:*",
    ],
  });
  const verdicts = Object.entries({
    "http://198.41.128.0/": undefined,
    "http://198.41.255.255/": undefined,
    "http://198.41.127.255/": "not-allowed",
    "http://198.42.0.0/": "not-allowed",
    "http://198.41.128.1:8080/": "not-allowed",
    "https://1.1.1.1:8443/": undefined,
    "https://1.1.1.1/": "not-allowed",
    "https://1.1.1.0:8443/": "not-allowed",
    "https://[2606:4700:4700::1111]/": undefined,
    "https://[2606:4700:ffff:ffff:ffff:ffff:ffff:ffff]/": undefined,
    "https://[2606:4701::]/": "not-allowed",
    "https://[2a00:1450:4001:9ff::1]:444/": undefined,
    "https://[2a00:1450:4001:a00::1]:444/": "not-allowed",
    "http://9.255.255.255:81/": undefined,
    "http://0x8.8.8.8:81/": undefined,
    "http://10.0.0.1/": "private",
    "http://198.41.128.1.example.com/": "not-allowed",
    "http://one.one.one.one/": "not-allowed",
  });
  for (const [target, verdict] of verdicts)
    assert.equal(
      refusal(() => guard.admit(target)),
      verdict,
      target,
    );
});

test("a redirect to what is not allowed is refused, by host, port and block, on every hop", async () => {
  const guard = new TargetGuard({ allow: ["a.example", "*.b.example", "c.example:8443", "1.1.1.0/24"] });
  const here = "https://a.example/";
  for (const [target, reason] of Object.entries({
    "https://evil.example/": "not-allowed",
    "https://b.example/": "not-allowed",
    "https://a.example:8443/": "not-allowed",
    "https://c.example/": "not-allowed",
    "http://1.1.2.1/": "not-allowed",
    "ftp://a.example/": "scheme",
    "//evil.example": "not-allowed",
    "https://user:secret@a.example/": "credentials",
    "http://1.1.1.1:22/": "port",
  })) {
    for (const first of ["https://x.b.example/", "https://c.example:8443/", "http://1.1.1.1/"]) {
      const sent = network({ [here]: first, [first]: target });
      assert.equal(await refusedFor(guard.fetch(here)), reason, target);
      assert.deepEqual(
        sent.map(({ url }) => url),
        [here, first],
      );
    }
  }
});

test("an allowed name does not open a private address", () => {
  const guard = new TargetGuard({ allow: ["127.0.0.1:*", "localhost", "*.local", "[::1]"] });
  for (const target of ["http://127.0.0.1/", "http://localhost/", "http://a.local/", "http://[::1]/"])
    assert.equal(
      refusal(() => guard.admit(target)),
      "private",
      target,
    );
});

test("a name that leads to a private address is refused after resolution, on the first hop and on every other", async () => {
  const addresses = {
    "good.example": ["93.184.216.34", "2606:4700::1111"],
    "rebinds.example": ["93.184.216.34", "127.0.0.1"],
    "inner.example": ["10.0.0.7"],
    "mapped.example": ["::ffff:10.0.0.7"],
    "strange.example": ["not an address"],
    "nowhere.example": [],
  };
  const guard = new TargetGuard({ ...open, resolve: async (name) => addresses[name] });
  for (const [name, reason] of Object.entries({
    "rebinds.example": "private",
    "inner.example": "private",
    "mapped.example": "private",
    "strange.example": "private",
    "nowhere.example": "unresolved",
  })) {
    const sent = network({ "https://good.example/": `https://${name}/` });
    assert.equal(await refusedFor(guard.fetch(`https://${name}/`)), reason, name);
    assert.equal(await refusedFor(guard.fetch("https://good.example/")), reason, name);
    assert.equal(sent.length, 1);
  }
});

test("redirects are followed as far as they are allowed; the answer says where it came from", async () => {
  const guard = new TargetGuard({ ...open, redirects: 2 });
  network({
    "https://a.example/": "/b",
    "https://a.example/b": "https://c.example/",
    "https://c.example/": () => new Response("there", { headers: { "x-found": "yes" } }),
    "https://loop.example/": "/",
  });
  const answer = await guard.fetch("https://a.example/");
  assert.deepEqual([answer.url, answer.redirected, answer.status], ["https://c.example/", true, 200]);
  assert.equal(answer.headers.get("x-found"), "yes");
  assert.equal(await answer.text(), "there");
  assert.equal(await refusedFor(guard.fetch("https://loop.example/")), "redirects");
  const first = await guard.fetch("https://a.example/", { redirect: "manual" });
  assert.deepEqual([first.status, first.url, first.redirected], [302, "https://a.example/", false]);
  await assert.rejects(guard.fetch("https://a.example/", { redirect: "error" }), TypeError);
});

test("credentials and bodies do not follow a redirect to another origin", async () => {
  const guard = new TargetGuard(open);
  const init = {
    method: "POST",
    body: "secret",
    headers: { authorization: "Bearer x", cookie: "a=b", "x-y": "z" },
  };
  for (const [status, method, body] of [
    [302, "GET", ""],
    [303, "GET", ""],
    [307, "POST", "secret"],
  ]) {
    const sent = network({
      "https://a.example/": () => redirect("https://b.example/", status),
      "https://b.example/": () => new Response("ok"),
    });
    await guard.fetch("https://a.example/", init);
    const [first, second] = sent;
    assert.deepEqual([first.headers.get("authorization"), await first.text()], ["Bearer x", "secret"]);
    assert.deepEqual([second.method, await second.text()], [method, body]);
    assert.deepEqual(
      ["authorization", "cookie", "x-y"].map((name) => second.headers.get(name)),
      [null, null, "z"],
    );
    assert.equal(second.headers.has("content-type"), status === 307);
  }
});

test("a body ends at its limit, and a request at its time", async () => {
  network({
    "https://big.example/": () => new Response("x".repeat(1001)),
    "https://fits.example/": () => new Response("x".repeat(1000)),
    "https://slow.example/": ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  const guard = new TargetGuard({ ...open, bytes: 1000, timeout: 30 });
  assert.equal((await (await guard.fetch("https://fits.example/")).text()).length, 1000);
  assert.equal(await refusedFor((await guard.fetch("https://big.example/")).text()), "too-large");
  await assert.rejects(guard.fetch("https://slow.example/"), { name: "TimeoutError" });
  const controller = new AbortController();
  const aborted = guard.fetch("https://slow.example/", { signal: controller.signal });
  controller.abort(new Error("away"));
  await assert.rejects(aborted, { message: "away" });
});

test("a request whose signal has aborted before is not sent, with or without a name to resolve", async () => {
  const sent = network({ "https://a.example/": () => new Response("ok") });
  const signal = AbortSignal.abort(new Error("away"));
  for (const guard of [
    new TargetGuard(open),
    new TargetGuard({ ...open, resolve: async () => ["1.1.1.1"] }),
  ]) {
    await assert.rejects(guard.fetch("https://a.example/", { signal }), { message: "away" });
    await assert.rejects(guard.fetch(new Request("https://a.example/", { signal })), { message: "away" });
  }
  assert.deepEqual(sent, []);
});

test("a request without a bound in time, or with one that no timer holds, is not ended by a timer", async (t) => {
  network({ "https://a.example/": () => new Response("ok") });
  const timers = [];
  t.mock.method(globalThis, "setTimeout", (_, ms) => timers.push(ms));
  for (const timeout of [Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 31 - 1])
    await new TargetGuard({ ...open, timeout }).fetch("https://a.example/");
  assert.deepEqual(timers, [2 ** 31 - 1]);
});

test("a body that stands still ends with the request's time, and one that nobody wants any more with its signal", async () => {
  const cancelled = [];
  network({
    "https://drips.example/": ({ signal }) =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode("a"));
            signal.addEventListener("abort", () => {
              cancelled.push(signal.reason.name);
              controller.error(signal.reason);
            });
          },
        }),
      ),
  });
  // The guard's own timer keeps no process, and a network that is none does not either.
  const alive = setInterval(() => {}, 1000);
  const late = await new TargetGuard({ ...open, timeout: 30 }).fetch("https://drips.example/");
  await assert.rejects(late.text(), { name: "TimeoutError" });
  clearInterval(alive);
  const controller = new AbortController();
  const left = await new TargetGuard(open).fetch("https://drips.example/", { signal: controller.signal });
  controller.abort();
  await assert.rejects(left.text(), { name: "AbortError" });
  assert.deepEqual(cancelled, ["TimeoutError", "AbortError"]);
});

test("names are resolved over HTTPS", async () => {
  const asked = [];
  globalThis.fetch = async (url) => {
    asked.push(url.href);
    const type = url.searchParams.get("type");
    const data =
      type === "A"
        ? [
            { type: 5, data: "cdn.example." },
            { type: 1, data: "93.184.216.34" },
          ]
        : [{ type: 28, data: "2606:4700::1" }];
    return Response.json({ Status: 0, Answer: data });
  };
  const addresses = await resolveOverHttps("https://dns.example/dns-query")("www.example");
  assert.deepEqual(addresses, ["93.184.216.34", "2606:4700::1"]);
  assert.equal(asked.length, 2);
});

test("a resolver that answers no more, too much, elsewhere or not at all ends in an error, and in time", async () => {
  const asked = [];
  const answer = (make) => {
    globalThis.fetch = async (_url, init) => {
      asked.push(init);
      return make(init);
    };
    return resolveOverHttps("https://dns.example/dns-query")("www.example");
  };
  await assert.rejects(
    answer(() => new Response(`{"Answer":[${'{"type":1,"data":"1.1.1.1"},'.repeat(10_000)}null]}`)),
    /`dns.example` answered more than 131072 bytes/,
  );
  await assert.rejects(
    answer(() => new Response(null, { status: 302, headers: { location: "https://elsewhere.example/" } })),
    /`dns.example` answered 302/,
  );
  for (const init of asked) {
    assert.equal(init.redirect, "manual");
    assert.ok(init.signal instanceof AbortSignal, "it ends in time");
  }
});

test("a name that nobody resolves is given up: with the request's time, its signal, and where it is only judged", async (t) => {
  network({});
  const alive = setInterval(() => {}, 1000);
  t.after(() => clearInterval(alive));
  const resolve = () => new Promise(() => {});
  const guard = new TargetGuard({ ...open, resolve, timeout: 30 });
  await assert.rejects(guard.fetch("https://a.example/"), { name: "TimeoutError" });
  const controller = new AbortController();
  const left = new TargetGuard({ ...open, resolve }).fetch("https://a.example/", {
    signal: controller.signal,
  });
  controller.abort(new Error("away"));
  await assert.rejects(left, { message: "away" });
  await assert.rejects(guard.admitResolved("https://a.example/", { signal: controller.signal }), {
    message: "away",
  });
  t.mock.method(AbortSignal, "timeout", (ms) => AbortSignal.abort(new Error(`after ${ms} ms`)));
  await assert.rejects(guard.admitResolved("https://a.example/"), { message: "after 10000 ms" });
  const patient = new TargetGuard({ ...open, resolve, timeout: 60_000 });
  await assert.rejects(patient.fetch("https://a.example/"), { message: "after 10000 ms" });
});

test("an error of another copy, or of another realm, is known by its guard, and nothing else is", () => {
  const foreign = runInNewContext(
    `Object.assign(new Error("x"), { code: "TARGET_REFUSED", [Symbol.for("tidegate.edge.error")]: true })`,
  );
  assert.ok(!(foreign instanceof Error) && isTargetRefusedError(foreign));
  const own = new TargetRefusedError("private", "x");
  assert.ok(isTargetRefusedError(own) && !isAccessRefusedError(own));
  assert.deepEqual(
    [own.name, own.code, own.reason, String(own)],
    ["TargetRefusedError", "TARGET_REFUSED", "private", "TargetRefusedError: x"],
  );
  for (const other of [null, undefined, "TARGET_REFUSED", Object.assign(new Error("x"), { code: own.code })])
    assert.ok(!isTargetRefusedError(other));
});

test("an option that is none is told at construction", () => {
  for (const [options, message] of [
    [{ allow: "example.com" }, /`allow` to be an array of hosts/],
    [{ allow: ["http://example.com"] }, /`allow\[0\]` to be a host/],
    [{ allow: ["example.com/path"] }, /`allow\[0\]`/],
    [{ allow: ["example.com/24"] }, /`allow\[0\]`/],
    [{ allow: ["1.1.1.0/33"] }, /`allow\[0\]` to be .* block of addresses/],
    [{ allow: ["1.1.1.1/24"] }, /`allow\[0\]`/],
    [{ allow: ["2606:4700::1/32"] }, /`allow\[0\]`/],
    [{ allow: ["2606:4700::/129"] }, /`allow\[0\]`/],
    [{ allow: ["*.1.1.1.1"] }, /`allow\[0\]`/],
    [{ allow: ["*.*.example.com"] }, /`allow\[0\]`/],
    [{ allow: ["a*.example.com"] }, /`allow\[0\]`/],
    [{ allow: ["user@example.com"] }, /`allow\[0\]`/],
    [{ allow: ["example.com?x"] }, /`allow\[0\]`/],
    [{ allow: ["example.com:99999"] }, /`allow\[0\]`/],
    [{ allow: [""] }, /`allow\[0\]`/],
    [{ allow: ["ok.example", 7] }, /`allow\[1\]`/],
    [{ redirects: -1 }, /`redirects`/],
    [{ bytes: 0.5 }, /`bytes`/],
    [{ timeout: 0 }, /`timeout`/],
    [{ resolve: "dns" }, /`resolve`/],
  ])
    assert.throws(() => new TargetGuard(options), message);
});
