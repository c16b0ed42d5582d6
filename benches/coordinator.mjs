/**
 * One limit of 50 that two workerd processes share by a Durable Object in a third, which is killed and started again on its disk all
 * the time: 100,000 tasks, never more than 50 at once.
 */

import assert from "node:assert/strict";
import { bundleCases } from "../tests/conformance/bundle.mjs";
import { judged, limited, restarting } from "../tests/edge/limit.mjs";
import { version } from "../tests/edge/serve.mjs";
import { row } from "./side-by-side.mjs";

const TASKS = 100_000;
const LIMIT = 50;

export async function bench() {
  await bundleCases();
  const group = await limited(2);
  try {
    const stop = restarting(group.object, 1000);
    const path = `/load?tasks=${TASKS / 2}&lanes=80&ms=20&limit=${LIMIT}&lease=5000`;
    const sides = await Promise.all(group.workers.map((worker) => group.ask(worker, path)));
    const restarts = await stop();
    const { most, used, evenness, seconds } = judged(
      sides.map(({ spans }) => spans),
      LIMIT,
    );
    const asked = sides.reduce((sum, { metrics }) => sum + metrics.asked, 0);
    assert.equal(most, LIMIT);
    for (const { spans, metrics } of sides) assert.deepEqual([spans.length, metrics.lapsed], [TASKS, 0]);
    console.log(
      `coordinator: at most ${most} of ${LIMIT} at once in ${TASKS} tasks, ${seconds.toFixed(1)} s, ${restarts} restarts, ${asked} words with the object`,
    );
    const common = { n: TASKS, version: await version(), unit: "%", direction: "higher" };
    return [
      row({
        ...common,
        bench: "coordinator: used",
        peer: "the whole limit, workerd",
        ours: 100 * used,
        theirs: 100,
        bar: 0.9,
      }),
      row({
        ...common,
        bench: "coordinator: time of one side beside the other's",
        peer: "even, workerd",
        ours: 100 * evenness,
        theirs: 100,
        bar: 0.8,
      }),
    ];
  } finally {
    group.stop();
  }
}
