/**
 * One isolate of real workerd: a thousand requests at once through a pool of 2, with and without the platform's flag, beside what
 * nothing can be faster than and beside p-limit and p-queue; and what a pool adds to a request that need not wait.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { bundleCases } from "../tests/conformance/bundle.mjs";
import { CURRENT, serve, version } from "../tests/edge/serve.mjs";
import { burst, connection } from "./edge/client.mjs";
import { median, row, versionOf } from "./side-by-side.mjs";

const entry = readFileSync(new URL("edge/worker.js", import.meta.url), "utf8");
const REQUESTS = 1000;
/** Milliseconds of each task, and how many run at once. */
const TASK = 2;
const SLOTS = 2;
const ROUNDS = 5;
/** How many processes are asked what a pool adds to a request. */
const STARTS = 5;

export async function bench() {
  await bundleCases();
  const workerd = await version();
  return [
    ...(await times(CURRENT, 1.5, workerd)),
    ...(await times("2023-01-01", 3, workerd)),
    ...(await throughput(workerd)),
  ];
}

async function times(date, bar, workerd) {
  const worker = await serve(`bench-edge-${date}`, entry, { date });
  try {
    await burst(worker.url, "/bare", REQUESTS);
    const took = { pool: [], chains: [], least: [] };
    const once = {
      async pool() {
        const { ms, counts } = await burst(worker.url, `/pool/${TASK}`, REQUESTS);
        assert.deepEqual(counts, { 200: REQUESTS });
        const { most, active, queued } = await (await fetch(`${worker.url}/seen`)).json();
        assert.deepEqual({ most, active, queued }, { most: SLOTS, active: 0, queued: 0 });
        return ms;
      },
      chains: async () => (await burst(worker.url, `/chain/${TASK}/${REQUESTS / SLOTS}`, SLOTS)).ms,
      ...(date === CURRENT && {
        least: async () => (await burst(worker.url, `/least/${TASK}`, REQUESTS)).ms,
      }),
    };
    for (let round = 0; round < ROUNDS; round += 1)
      for (const [what, measure] of Object.entries(once)) took[what].push(await measure());
    const against = (times, peer) =>
      paired(
        {
          bench: `edge: a pool of ${SLOTS} at ${date}`,
          n: REQUESTS,
          peer,
          version: workerd,
          unit: "ms",
          bar,
        },
        took.pool,
        times,
      );
    const rows = [against(took.chains, "chains of the same timers, workerd")];
    if (took.least.length > 0) rows.push(against(took.least, "the least semaphore that works, workerd"));
    for (const [path, peer] of [
      ["limit", "p-limit"],
      ["queue", "p-queue"],
    ]) {
      const { counts } = await burst(worker.url, `/${path}/${TASK}`, REQUESTS, 15_000);
      const told = Object.entries(counts).map(([kind, n]) => `${n} × ${kind}`);
      console.log(`edge: ${peer} ${versionOf(peer)} at ${date}, the same load: ${told.join(", ")}`);
    }
    return rows;
  } finally {
    worker.stop();
  }
}

async function throughput(workerd) {
  const rates = { bare: [], through: [] };
  const waits = { bare: [], through: [] };
  for (let start = 0; start < STARTS; start += 1) await oneStart(start, rates, waits);
  const many = paired(
    {
      bench: "edge: 50 connections",
      n: rates.bare.length,
      peer: "a bare handler, workerd",
      version: workerd,
      unit: "requests/s",
      bar: 0.95,
      direction: "higher",
    },
    rates.through,
    rates.bare,
  );
  const [bare, through] = [median(waits.bare), median(waits.through)];
  console.log(
    `edge: one connection, medians: bare ${bare.toFixed(1)} µs, through a pool ${through.toFixed(1)} µs`,
  );
  return [
    many,
    row({
      bench: "edge: added to a request at the median",
      n: waits.bare.length,
      peer: "the bar, workerd",
      version: workerd,
      unit: "µs",
      ours: through - bare,
      theirs: 10,
      direction: "lower",
      bar: 1,
    }),
  ];
}

/** What one process has to say: where its code lies, and how it was compiled, makes two percent between one and the next. */
async function oneStart(start, rates, waits) {
  const worker = await serve(`bench-edge-throughput-${start}`, entry);
  const connections = await Promise.all(Array.from({ length: 50 }, () => connection(worker.url)));
  try {
    const slice = async (path, ms) => {
      const end = performance.now() + ms;
      let answers = 0;
      const began = performance.now();
      await Promise.all(
        connections.map(async (one) => {
          while (performance.now() < end) {
            await one.ask(path);
            answers += 1;
          }
        }),
      );
      return (1000 * answers) / (performance.now() - began);
    };
    for (const path of ["/bare", "/through"]) await slice(path, 1000);
    // Short slices in turns, so that whatever else the machine does hits both.
    for (let round = 0; round < 40; round += 1)
      for (const what of round % 2 === 0 ? ["bare", "through"] : ["through", "bare"])
        rates[what].push(await slice(`/${what}`, 100));
    const [one] = connections;
    for (let n = 0; n < 4000; n += 1)
      for (const what of n % 2 === 0 ? ["bare", "through"] : ["through", "bare"]) {
        const began = performance.now();
        await one.ask(`/${what}`);
        if (n >= 500) waits[what].push(1000 * (performance.now() - began));
      }
  } finally {
    for (const each of connections) each.close();
    worker.stop();
  }
}

/** A row whose ratio is the median of those of the rounds, each of which measured both. */
function paired({ direction = "lower", ...what }, ours, theirs) {
  const ratio = median(ours.map((one, round) => one / theirs[round]));
  const judged = row({ ...what, direction, ours: median(ours), theirs: median(theirs) });
  const pass = direction === "lower" ? ratio <= what.bar : ratio >= what.bar;
  return { ...judged, ratio: Number(ratio.toPrecision(4)), pass };
}
