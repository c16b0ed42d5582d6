/**
 * `tidegate/slim`: the same names and the same instance as `tidegate`.
 */

import * as tidegate from "tidegate";
import * as slim from "tidegate/slim";
import { assert, rejection, test } from "./registry.js";

test("slim: the same names, and `init` beside them", () => {
  assert.sameMembers(
    Object.keys(slim).filter((name) => name !== "init"),
    Object.keys(tidegate),
  );
  assert.isFunction(slim.init);
});

test("slim: the same instance: a breaker of one may stand before a pool of the other", async () => {
  assert.strictEqual(slim.Pool, tidegate.Pool);
  const breaker = new slim.CircuitBreaker();
  const pool = new tidegate.Pool({ concurrency: 1, breaker });
  assert.equal(await pool.run(() => 1), 1);
  assert.equal(breaker.metrics().successes, 1);
});

test("slim: another module than the one that is loaded is refused", async () => {
  const empty = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
  const error = (await rejection(slim.init(empty))) as Error;
  assert.instanceOf(error, TypeError);
  assert.equal(
    error.message,
    "Expected `init` to be called with the module that is already loaded, got a different one",
  );
  assert.equal(await new slim.Pool({ concurrency: 1 }).run(() => "still works"), "still works");
});

test("slim: what is no module is told so", async () => {
  for (const [given, shown] of [
    [undefined, "`undefined`"],
    [5, "`5` (number)"],
    [() => 1, "a function"],
  ]) {
    const error = (await rejection(slim.init(given as never))) as Error;
    assert.instanceOf(error, TypeError);
    assert.equal(
      error.message,
      `Expected \`module\` to be a WebAssembly.Module, bytes or a URL, got ${shown}`,
    );
  }
});
