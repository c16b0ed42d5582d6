/** Requests that have waited for others, at handles of every kind, go on as themselves, in real workerd. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { atEachDate } from "./together.mjs";

let target;
before(async () => {
  target = createServer((_, response) => response.end("from outside")).listen(0, "127.0.0.1");
  await new Promise((resolve) => target.once("listening", resolve));
});
after(() => target.close());

atEachDate("meeting-worker.js", ({ ask, json }) => {
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
});
