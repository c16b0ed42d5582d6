/**
 * The dates at which handles at module scope are shared by requests in the tests beside this: the oldest that is promised,
 * the first at which promises of other requests may be resolved, and today's.
 */

import { readFileSync } from "node:fs";
import { after, before, describe } from "node:test";
import { CURRENT, serve } from "./serve.mjs";

const DATES = ["2023-01-01", "2024-10-14", CURRENT];

/** Starts the worker of `file` at each of the dates, with what it takes to ask it. */
export function atEachDate(file, tests, options = {}) {
  const entry = readFileSync(new URL(file, import.meta.url), "utf8");
  for (const date of DATES) {
    describe(`at compatibility date ${date}`, () => {
      let worker;
      before(async () => {
        worker = await serve(`${file}-${date}`, entry, { date, ...options });
      });
      after(() => worker?.stop());

      const ask = async (path, options) => {
        const response = await fetch(`${worker.url}${path}`, {
          signal: AbortSignal.timeout(120_000),
          ...options,
        });
        return { status: response.status, text: await response.text() };
      };
      const json = async (path) => JSON.parse((await ask(path)).text);
      const many = (n, path, options) => Promise.all(Array.from({ length: n }, () => ask(path, options)));
      tests({ ask, json, many });
    });
  }
}

/** How many answers there are of each kind. */
export function tally(answers) {
  const counts = {};
  for (const { status, text } of answers) {
    const what = `${status} ${text}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return counts;
}
