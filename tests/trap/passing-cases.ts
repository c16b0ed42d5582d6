/**
 * After a trap, where plain tasks pass: whoever runs has a slot in the new machine, though the old one had not heard of it.
 */

import { isRuntimeTrapError } from "tidegate";
import { assert, deferred, rejection, test, turn } from "../conformance/registry.js";
import { hold, warm } from "../conformance/waiting.js";
import { callsOfTheDead, isArmed, trapAt } from "./arming.js";

for (const [when, call] of [
  ["hears of who has passed", "pool_passed"],
  ["gives a slot to who passes", "pool_request"],
  ["is looked at by who passes", "pool_count"],
] as const) {
  test(`trap while the machine ${when}: the task has its slot, and ends`, async () => {
    const pool = await warm(1);
    await pool.run(() => "second");
    const result = await pool.run(() => {
      trapAt(call);
      const answer = pool.active;
      assert.isFalse(isArmed());
      assert.equal(answer, 0, "the call has no answer");
      assert.equal(pool.active, 1);
      assert.lengthOf(pool.tasks(), 1);
      return "ended";
    });
    assert.equal(result, "ended");
    assert.deepEqual([pool.active, pool.tasks().length, callsOfTheDead().length], [0, 0, 0]);
    assert.equal(await pool.run(() => "next"), "next");
  });
}

test("trap while one that has passed is waited for: its slot is taken, and who waits behind it is told", async () => {
  const pool = await warm(1);
  const { promise, resolve } = deferred<string>();
  const lasting = pool.run(() => promise);
  trapAt("pool_request");
  await turn();
  assert.isFalse(isArmed());
  const next = hold(pool);
  assert.deepEqual([pool.active, pool.queued], [1, 1]);
  trapAt("pool_count");
  assert.equal(pool.queued, 0);
  assert.isTrue(isRuntimeTrapError(await rejection(next.done)));
  assert.equal(pool.active, 1);
  resolve("ended");
  assert.equal(await lasting, "ended");
  assert.equal(pool.active, 0);
});

test("trap while numbers are read of who passes: they are those of the new machine", async () => {
  const pool = await warm(1);
  await pool.run(() => {
    trapAt("pool_request");
    const { active, slotsInUse } = pool.metrics();
    assert.isFalse(isArmed());
    assert.deepEqual([active, slotsInUse], [1, 1]);
  });
  assert.deepEqual([pool.active, callsOfTheDead().length], [0, 0]);
});

test("trap while one that passes asks for another: that one is told, and the first ends", async () => {
  const pool = await warm(1);
  let inner: Promise<unknown> | undefined;
  const result = await pool.run(() => {
    trapAt("pool_request");
    inner = pool.run(() => "inner");
    assert.isFalse(isArmed());
    assert.equal(pool.active, 1);
    return "ended";
  });
  assert.equal(result, "ended");
  assert.isTrue(isRuntimeTrapError(await rejection(inner as Promise<unknown>)));
  assert.deepEqual([pool.active, callsOfTheDead().length], [0, 0]);
});

test("trap while one that passes fails: its error is its own", async () => {
  const pool = await warm(1);
  const failing = pool.run(() => {
    trapAt("pool_request");
    throw new Error("its own");
  });
  assert.match(((await rejection(failing)) as Error).message, /^its own$/);
  assert.isFalse(isArmed());
  assert.deepEqual([pool.active, pool.tasks().length, callsOfTheDead().length], [0, 0, 0]);
  assert.equal(await pool.run(() => "next"), "next");
});

test("trap elsewhere: a task that passes keeps its slot", async () => {
  const [pool, other] = [await warm(1), await warm(1)];
  await pool.run(() => {
    trapAt("pool_count");
    assert.equal(other.active, 0);
    assert.isFalse(isArmed());
    assert.equal(pool.active, 1);
  });
  assert.equal(pool.active, 0);
  assert.lengthOf(callsOfTheDead(), 0);
});
