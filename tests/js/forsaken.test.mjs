/** Who is taken for gone and is there after all hears what it missed: a grant stays a grant, and a refusal a refusal. */

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Barrier, Channel, Event } from "tidegate";
import { root } from "../../setup/needs.mjs";

const own = (file) => import(pathToFileURL(join(root, "dist", file)).href);
const { GRANTED, REFUSED } = await own("instance.js");
const { CLOSED } = await own("refusal.js");

/** The ticket of the first waiter of a handle. */
const FIRST = 0;

const waiters = [
  ["a waiter for an event", () => new Event(), (event) => event.wait()],
  ["a party of a barrier", () => new Barrier(2), (barrier) => barrier.arrive()],
  ["a sender", () => new Channel(0), (channel) => channel.send("word")],
];

for (const [who, make, wait] of waiters) {
  test(`${who} that was refused meanwhile is refused`, async () => {
    const handle = make();
    const waiting = wait(handle);
    handle.forsake(FIRST, REFUSED + CLOSED)();
    await assert.rejects(waiting, { name: "ClosedError" });
  });

  test(`${who} that was served meanwhile has what it waited for`, async () => {
    const handle = make();
    const waiting = wait(handle);
    handle.forsake(FIRST, GRANTED)();
    await waiting;
  });
}
