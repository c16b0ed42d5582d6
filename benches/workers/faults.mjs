/** What a pool keeps while its workers break: the load of the fault test, each count beside what it must be. */

import assert from "node:assert/strict";
import { row } from "../side-by-side.mjs";

export async function faultRows() {
  const [load, { withstandInNode }, { withstandInChromium }] = await Promise.all([
    import("../../tests/workers/fault-load.mjs"),
    import("../../tests/workers/in-node.mjs"),
    import("../../tests/workers/in-chromium.mjs"),
  ]);
  return [
    ...rowsOf("Node", await withstandInNode(), load),
    ...rowsOf("Chromium", await withstandInChromium(), load),
  ];
}

function rowsOf(where, counted, { TASKS, PHASES, STRIKES, SIZE, GROWTH }) {
  const { lost, once, answered, crashed, timedOut, wronglyTwice, strikes, workers, grown } = counted;
  assert.deepEqual([lost, wronglyTwice, answered + crashed + timedOut], [[], 0, TASKS]);
  assert.deepEqual(counted.counted, { crashed, queued: 0, running: 0 });
  const told = (what, unit, ours, theirs, peer, direction = "higher") =>
    row({
      bench: `workers: ${what} in ${where}`,
      n: TASKS,
      peer,
      version: "asked for",
      unit,
      ours,
      theirs,
      direction,
      bar: 1,
    });
  return [
    told("tasks that settle exactly once while workers break", "tasks", once, TASKS, "all"),
    ...PHASES.map((phase) =>
      told(`workers broken while ${phase}`, "faults", strikes[phase], STRIKES, "as many as are"),
    ),
    told("workers after the last fault", "workers", workers, SIZE, "the full size"),
    told("growth of the heap meanwhile", "MB", grown / 1e6, GROWTH / 1e6, "the most", "lower"),
  ];
}
