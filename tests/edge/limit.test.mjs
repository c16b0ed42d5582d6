/** One limit of several workerd processes, held by a Durable Object whose process is killed again and again. `npm run bench -- --only coordinator` takes 100,000 tasks. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { judged, limited, restarting } from "./limit.mjs";

const LIMIT = 50;
let group;
before(async () => {
  group = await limited(2);
});
after(() => group?.stop());

const load = (worker, { tasks, lease }) =>
  group.ask(worker, `/load?tasks=${tasks}&lanes=80&ms=20&limit=${LIMIT}&lease=${lease}`);

test("two processes never exceed one limit, use it and share it, while the one that has it is killed and started again", async (t) => {
  const stop = restarting(group.object, 300);
  const sides = await Promise.all(group.workers.map((worker) => load(worker, { tasks: 4000, lease: 5000 })));
  const restarts = await stop();
  const { most, used, evenness } = judged(
    sides.map(({ spans }) => spans),
    LIMIT,
  );
  t.diagnostic(
    `${(100 * used).toFixed(1)} % used, ${(100 * evenness).toFixed(1)} % even, ${restarts} restarts`,
  );
  assert.equal(most, LIMIT);
  assert.ok(restarts >= 2);
  for (const { spans, metrics } of sides) assert.deepEqual([spans.length, metrics.lapsed], [8000, 0]);
  // A machine with other things to do lets slots lie idle: the bar of 90 % is the bench's.
  assert.ok(used > 0.6, `${used}`);
  assert.ok(evenness > 0.6, `${evenness}`);
});

test("what a killed process held is the other's once its lease is over", async () => {
  const [one, other] = group.workers;
  await Promise.all(group.workers.map((worker) => fetch(`${worker.url}/forget`)));
  const dead = load(one, { tasks: 1_000_000, lease: 1500 }).catch(() => "killed");
  const live = load(other, { tasks: 8000, lease: 1500 });
  const until = async (isSo) => {
    while (!isSo(await group.ask(other, "/seen"))) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await until(({ block, ran }) => ran > 200 && block <= LIMIT / 2);
  one.stop();
  assert.equal(await dead, "killed");
  // They take far longer than the lease with half of the slots.
  const { spans } = await live;
  assert.equal(spans.length, 16_000);
  assert.equal(judged([spans], LIMIT).most, LIMIT);
});
