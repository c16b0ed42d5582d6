/** A pool at module scope of a Worker in Rust (workers-rs), shared by many requests at once, in real workerd. */

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { buildRustExample } from "../rust-example.mjs";
import { atEachDate, tally } from "./together.mjs";

before(() => buildRustExample("workers-rs"), { timeout: 1_200_000 });

atEachDate("rust-worker.js", ({ ask }) => {
  test("a thousand requests through one Rust pool of 2 are all answered as themselves, and never more than 2 run", async () => {
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, n) =>
        ask("/", { method: "POST", body: `${n}`, signal: AbortSignal.timeout(280_000) }),
      ),
    );
    assert.deepEqual(tally(answers), Object.fromEntries(answers.map((_, n) => [`200 ${n} ${n}`, 1])));
    assert.equal((await ask("/seen")).text, "2");
  });
});
