/** Quotas of callers, and the shared rate they are made of, where the coordinator is there and where it is away. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { isNeverPossibleError, isQueueTimeoutError } from "tidegate";
import { CoordinatorUnreachableError, localCoordinator, SharedRate, scanHandler } from "tidegate/edge";

const TOKEN = "a-token-that-is-long-enough";
const HOUR = 3_600_000;

const away = (unreachable) => ({
  unreachable,
  ask: () => Promise.reject(new CoordinatorUnreachableError("away")),
});

test("several tokens are taken at once, all or none, and one who asks for too many hears when", async () => {
  for (const coordinator of [localCoordinator(), away("local")]) {
    const rate = new SharedRate(coordinator, { name: "rate", limit: 10, per: HOUR, block: 1 });
    assert.deepEqual([await rate.tryAcquire(6), await rate.tryAcquire(6)], [true, false]);
    assert.deepEqual([await rate.tryAcquire(4), await rate.tryAcquire()], [true, false]);
    const error = await rate.acquire({ cost: 2, timeout: 0 }).catch((reason) => reason);
    assert.ok(isQueueTimeoutError(error), String(error));
    assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= HOUR / 5, String(error.retryAfterMs));
    await assert.rejects(rate.tryAcquire(11), isNeverPossibleError);
    await assert.rejects(rate.acquire({ cost: 11 }), isNeverPossibleError);
    await assert.rejects(rate.tryAcquire(0), /`cost` to be an integer ≥ 1/);
  }
});

test("tokens that were fetched in a block count towards several at once", async () => {
  const rate = new SharedRate(localCoordinator(), { name: "rate", limit: 10, per: HOUR, block: 5 });
  const taken = [];
  for (const cost of [1, 6, 3, 1]) taken.push(await rate.tryAcquire(cost));
  assert.deepEqual(taken, [true, true, true, false]);
});

test("two who share a rate never have more than it, whatever they take at once", async () => {
  const coordinator = localCoordinator();
  const [one, other] = ["one", "other"].map(
    () => new SharedRate(coordinator, { name: "rate", limit: 100, per: HOUR, block: 7 }),
  );
  let taken = 0;
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const cost = 1 + (index % 5);
      if (await (index % 2 ? one : other).tryAcquire(cost)) taken += cost;
    }),
  );
  assert.ok(taken <= 100, String(taken));
  // What was fetched and not needed is still there, and nothing is lost.
  for (const rate of [one, other]) while (await rate.tryAcquire()) taken += 1;
  // One comes back in 36 seconds, should this take that long.
  assert.ok(taken >= 100 && taken <= 102, String(taken));
});

/** A handler whose scans find nothing, and how to ask it for one. */
function handler(options) {
  class Scanner {
    async *scan() {}
  }
  const handle = scanHandler({ Scanner, tokens: [TOKEN], targets: { allow: ["*"] }, ...options });
  return async (targets) => {
    const response = await handle(
      new Request("https://scans.example/scan", {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ targets }),
      }),
    );
    await response.text();
    return response;
  };
}

test("while the coordinator is away: closed scans nothing, local keeps the quota here, open lets everybody scan", async () => {
  const scans = { limit: 2, per: HOUR };
  const statuses = async (unreachable) => {
    const ask = handler({ coordinator: away(unreachable), quotas: { scans } });
    const answers = [];
    for (let index = 0; index < 4; index += 1) answers.push(await ask(["https://a.example/"]));
    for (const { status, headers } of answers)
      if (status !== 200) assert.ok(Number(headers.get("retry-after")) >= 1);
    return answers.map(({ status }) => status);
  };
  assert.deepEqual(await statuses("closed"), [503, 503, 503, 503]);
  assert.deepEqual(await statuses("local"), [200, 200, 429, 429]);
  assert.deepEqual(await statuses("open"), [200, 200, 200, 200]);
});

test("a token has one name, wherever it stands in the list, and no other token has it", async () => {
  const callerOf = async (tokens, token) => {
    const handle = scanHandler({ Scanner: class {}, tokens });
    const headers = { authorization: `Bearer ${token}` };
    const text = await (await handle(new Request("https://scans.example/metrics", { headers }))).text();
    const [, caller] = /caller="(token [0-9a-f]{12})"/.exec(text);
    return caller;
  };
  const other = "another-token-that-is-long-enough";
  const name = await callerOf([TOKEN], TOKEN);
  assert.equal(await callerOf([other, TOKEN], TOKEN), name);
  assert.equal(await callerOf([TOKEN, other, "a-third-token-long-enough"], TOKEN), name);
  assert.notEqual(await callerOf([TOKEN, other], other), name);
});

test("a scan that nobody reads is ended when its lease is over, and another has its place", async (t) => {
  let ended;
  let returned = false;
  class Endless {
    async *scan(_, { signal }) {
      ended = signal;
      try {
        for (;;) yield { type: "progress" };
      } finally {
        returned = true;
      }
    }
  }
  const handle = scanHandler({
    Scanner: Endless,
    tokens: [TOKEN],
    targets: { allow: ["*"] },
    concurrency: 1,
  });
  const scan = () =>
    handle(
      new Request("https://scans.example/scan", {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ targets: ["https://a.example/"] }),
      }),
    );
  const unread = (await scan()).body.getReader();
  await unread.read();
  assert.equal((await scan()).status, 503, "there is one place");
  const { now } = performance;
  t.mock.method(performance, "now", () => now.call(performance) + 61_000);
  const second = await scan();
  assert.equal(second.status, 200);
  await assert.rejects(async () => {
    for (let more = 0; more < 100; more += 1) await unread.read();
  }, /the scan was ended, since nobody has read it for long/);
  assert.ok(ended.aborted || returned);
  await second.body.cancel();
  assert.ok(returned);
});

test("a quota that is none is told at construction", () => {
  for (const [quotas, message] of [
    [{ requests: { limit: 0, per: 1 } }, /`quotas.requests.limit` to be an integer ≥ 1/],
    [{ scans: { limit: Number.NaN, per: 1 } }, /`quotas.scans.limit`/],
    [{ targets: { limit: 1, per: 0 } }, /`quotas.targets.per` to be a number of milliseconds ≥ 1/],
    [{ targets: 7 }, /`quotas.targets` to be an object/],
    [7, /`quotas` to be an object/],
  ])
    assert.throws(() => handler({ quotas }), message);
});
