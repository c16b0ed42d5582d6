/** The kernels beside two bare workers, and what they leave of the page's own thread. */

import assert from "node:assert/strict";
import { inTurns, medianOf, row } from "../side-by-side.mjs";
import { PART, PARTS } from "./kernel-load.mjs";

/**
 * What two bare workers may do with it: have half of it each, which leaves the page alone but lets all wait for the one whose core
 * somebody else wants; or take one part after the other, which bears that better and asks more of the page.
 */
const FLOORS = { halves: "two bare workers, half each", parts: "two bare workers, part by part" };

/**
 * A round of 100 ms is as good as the machine is quiet: by turns a thread that sleeps often and one that never does is kept from a
 * core that others want. So a third of the rounds is told, the quietest.
 */
const ROUNDS = 63;
const TOLD = 21;

/** Milliseconds that a task may hold the thread of a page: half of what a frame has. */
const HALF_A_FRAME = 8;

export async function kernelRows(browser, page) {
  const rows = [];
  let longest = 0;
  for (const name of ["sha256Chunks", "searchSecrets"]) {
    const contest = async (who) => {
      const { ms, answers } = await page.evaluate(
        ([who, name]) => globalThis.contest(who, name),
        [who, name],
      );
      assert.equal(answers, PARTS);
      return ms;
    };
    for (const [floor, peer] of Object.entries(FLOORS)) {
      // Speed is how many of the same go into a second, so a ratio of times is turned round.
      const timed = await inTurns({
        rounds: ROUNDS,
        ours: () => contest("ours"),
        theirs: () => contest(floor),
      });
      const { ours, theirs } = medianOf(quietest(timed));
      rows.push(
        row({
          bench: `workers: ${name} over 64 MB in Chromium`,
          n: PART * PARTS,
          peer,
          version: "(none)",
          unit: "MB/s",
          ours: (PART * PARTS) / ours / 1000,
          theirs: (PART * PARTS) / theirs / 1000,
          direction: "higher",
          bar: 0.95,
        }),
      );
    }
    longest = Math.max(longest, await longestTask(browser, page, () => contest("ours")));
  }
  rows.push(
    row({
      bench: "workers: longest task of the page's thread while kernels run",
      n: PART * PARTS,
      peer: "half a frame",
      version: "at 60 Hz",
      unit: "ms",
      ours: longest,
      theirs: HALF_A_FRAME,
      direction: "lower",
      bar: 1,
    }),
  );
  await page.close();
  return rows;
}

/**
 * The rounds in which the cores had least to do. The contestants' own share is much the same in all, so these are the ones that
 * others disturbed least.
 */
function quietest(timed) {
  return timed.toSorted((a, b) => a.busy - b.busy).slice(0, TOLD);
}

/** The most milliseconds of processor time that one task of the page's thread takes while `run` lasts. */
async function longestTask(browser, page, run) {
  const categories = [
    "blink.user_timing",
    "devtools.timeline",
    "disabled-by-default-devtools.timeline",
    "toplevel",
  ];
  await browser.startTracing(page, { categories });
  await run();
  const { traceEvents } = JSON.parse(String(await browser.stopTracing()));
  const mark = (name) =>
    traceEvents.find((event) => event.name === name && event.cat === "blink.user_timing");
  const [begins, ends] = [mark("ours begins"), mark("ours ends")];
  const tasks = traceEvents.filter(
    ({ name, pid, tid, ts }) =>
      /RunTask$/.test(name) && pid === begins.pid && tid === begins.tid && ts > begins.ts && ts < ends.ts,
  );
  assert.ok(tasks.length > 0, "the trace shows no task");
  // One that has no duration was not over when the trace was: it took at least until here.
  return Math.max(...tasks.map(({ ts, dur, tdur }) => tdur ?? dur ?? ends.ts - ts)) / 1000;
}
