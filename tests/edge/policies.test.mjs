/** Every other policy at module scope, shared by many requests at once, in real workerd. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { atEachDate, tally } from "./together.mjs";

let target;
before(async () => {
  target = createServer((_, response) => response.end("from outside")).listen(0, "127.0.0.1");
  await new Promise((resolve) => target.once("listening", resolve));
});
after(() => target.close());

atEachDate("shared-worker.js", ({ ask, json, many }) => {
  test("a request that has waited can still read and copy its body, fetch, and leave work behind", async () => {
    const { names, party } = await json("/meetings");
    const address = encodeURIComponent(`http://127.0.0.1:${target.address().port}/`);
    for (const name of names) {
      const answers = await Promise.all(
        Array.from({ length: party }, (_, n) =>
          ask(`/meeting/${name}?target=${address}`, { method: "POST", body: `${name} ${n}` }),
        ),
      );
      assert.deepEqual(
        answers.map(({ text }) => text),
        answers.map((_, n) =>
          JSON.stringify({ copy: `${name} ${n}`, body: `${name} ${n}`, target: "from outside" }),
        ),
        name,
      );
    }
    let later = 0;
    while (later < names.length * party) ({ later } = await json("/meetings"));
    assert.equal(later, names.length * party);
  });

  test("a rate lets everybody pass in the end, and nobody too early", async () => {
    const began = performance.now();
    assert.deepEqual(tally(await many(200, "/limiter")), { "200 passed": 200 });
    // 20 at once, and 20 in each 50 ms after that; the clock of the isolate may tick in whole milliseconds.
    assert.ok(performance.now() - began >= 445);
  });

  test("a breaker that opens for one is open for all, and one probe finds out whether it may close", async () => {
    await many(20, "/breaker");
    // Its time may be over already where the machine is slow.
    assert.notEqual((await ask("/state")).text, "closed");
    const before = (await json("/counts/breaker")).ran;
    await ask("/heal");
    while ((await ask("/state")).text !== "half-open") await new Promise((resolve) => setTimeout(resolve, 5));
    const answers = tally(await many(50, "/breaker"));
    const { ran } = await json("/counts/breaker");
    assert.equal(ran - before, answers["200 called"]);
    assert.equal(answers["200 failed"], undefined);
    assert.equal((await ask("/state")).text, "closed");
  });

  test("loads of one request are its own, and the value is everybody's", async () => {
    assert.deepEqual(tally(await many(100, "/load/own")), { "200 value": 100 });
    const { ran } = await json("/counts/own");
    assert.deepEqual(tally(await many(50, "/load/own")), { "200 value": 50 });
    assert.equal((await json("/counts/own")).ran, ran);
  });

  test("loads that are shared between requests run once", async () => {
    assert.deepEqual(tally(await many(100, "/load/shared")), { "200 value": 100 });
    assert.equal((await json("/counts/shared")).ran, 1);
  });

  test("locks are held by one request at a time, and everybody gets them", async () => {
    assert.deepEqual(tally(await many(200, "/lock")), { "200 held": 200 });
    const { most, ran } = await json("/counts/lock");
    assert.deepEqual({ most, ran }, { most: 1, ran: 200 });
  });

  test("tasks that other requests add to a graph run in the one that executes it", async () => {
    const executing = ask("/execute");
    while (!(await json("/graph")).running) await new Promise((resolve) => setTimeout(resolve, 5));
    await Promise.all(Array.from({ length: 40 }, (_, n) => ask(`/add/task-${n}`)));
    await ask("/gate/graph");
    assert.deepEqual(JSON.parse((await executing).text), { total: 41, got: 40 });
    const { most, ran } = await json("/counts/graph");
    assert.deepEqual({ most, ran }, { most: 3, ran: 40 });
  });
});
