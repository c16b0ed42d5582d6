/**
 * One limit of two workerd processes, held by a Durable Object in a third, which is killed and started again on its disk all the time.
 */

import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { serve } from "./serve.mjs";

const entry = readFileSync(new URL("limit-worker.js", import.meta.url), "utf8");

/** The process with the object, `restart()` included, and those that share its limit. */
export async function limited(sharers) {
  const object = await serve("limit-object", entry, { objects: ["CoordinatorObject"] });
  // It has another port each time it starts.
  const door = createServer((from) => {
    const to = connect(new URL(object.url).port, "127.0.0.1");
    for (const [one, other] of [
      [from, to],
      [to, from],
    ]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    from.pipe(to).pipe(from);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => door.once("listening", resolve));
  const outside = `127.0.0.1:${door.address().port}`;
  const workers = [];
  for (let n = 0; n < sharers; n += 1) workers.push(await serve(`limit-${n}`, entry, { outside }));
  return {
    object,
    workers,
    async ask(worker, path, ms = 600_000) {
      const response = await fetch(`${worker.url}${path}`, { signal: AbortSignal.timeout(ms) });
      const text = await response.text();
      if (!response.ok) throw new Error(`${response.status} ${text} ${worker.said()}`);
      return JSON.parse(text);
    },
    stop() {
      for (const each of [object, ...workers]) each.stop();
      door.close();
    },
  };
}

/** Kills the object's process and starts it again, over and over until it is stopped; gives how often that was. */
export function restarting(object, pause) {
  let count = 0;
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (isOver) return;
      await object.restart();
      count += 1;
    }
  })();
  return async () => {
    isOver = true;
    await done;
    return count;
  };
}

/**
 * What the tasks of several processes come to, by the beginning and the end of each: how many ran at once, what part of the limit was
 * used from the first beginning to the last end, and how long each process took beside the longest.
 */
export function judged(sides, limit) {
  const changes = sides.flatMap((spans) => spans.map((at, index) => ({ at, by: index % 2 === 0 ? 1 : -1 })));
  // The clock has whole milliseconds: in one of them, slots are given back before they are taken.
  changes.sort((a, b) => a.at - b.at || a.by - b.by);
  let [running, most, area, last] = [0, 0, 0, changes[0].at];
  for (const { at, by } of changes) {
    area += running * (at - last);
    last = at;
    running += by;
    most = Math.max(most, running);
  }
  const first = changes[0].at;
  const ends = sides.map((spans) => spans.reduce((end, at) => Math.max(end, at), 0) - first);
  return {
    most,
    used: area / (limit * (last - first)),
    evenness: Math.min(...ends) / Math.max(...ends),
    seconds: (last - first) / 1000,
  };
}
