/** What a worker says of its own end: only if the task that trapped is the only one under way may those behind it run elsewhere. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { MARK, RUN, TASKS, TRAPPED } from "../../dist/worker/protocol.js";
import { Server } from "../../dist/worker/server.js";

// No time passes, so short tasks are answered together.
beforeEach(() => {
  mock.method(performance, "now", () => 0);
});

const NAMES = [0, "trap", 1, "springs", 2, "later", 3, "fine"];
const [TRAP, SPRINGS, LATER, FINE] = [0, 4, 8, 12].map((what) => what + RUN);

/** What the worker says last when it is given these tasks in one message. */
function lastWord(...calls) {
  const said = [];
  let hear;
  const server = new Server({
    post: (message) => said.push(structuredClone(message)),
    listen: (fn) => {
      hear = fn;
    },
    close() {},
    onClose() {},
    memory: () => undefined,
  });
  const trap = () => {
    throw new WebAssembly.RuntimeError("unreachable");
  };
  server.functions.set("trap", trap);
  // Its answer springs a trap when it is cloned.
  server.functions.set("springs", () => Object.defineProperty({}, "value", { enumerable: true, get: trap }));
  server.functions.set("later", () => new Promise(() => {}));
  server.functions.set("fine", () => 1);
  hear([MARK, TASKS, NAMES, calls.flatMap((what, ticket) => [ticket, what, 0])]);
  const [mark, what, ticket, , alone] = said.at(-1);
  assert.deepEqual([mark, what], [MARK, TRAPPED]);
  return { ticket, alone };
}

test("server: a task that traps, or whose answer does, is told alone", () => {
  assert.deepEqual(lastWord(FINE, TRAP, FINE), { ticket: 1, alone: true });
  assert.deepEqual(lastWord(FINE, SPRINGS, FINE), { ticket: 1, alone: true });
});

test("server: one that has begun behind an answer that springs a trap is told of", () => {
  assert.deepEqual(lastWord(SPRINGS, LATER), { ticket: 0, alone: false });
  assert.deepEqual(lastWord(SPRINGS, TRAP), { ticket: 0, alone: false });
});

test("server: of two answers that spring a trap neither may run again", () => {
  assert.deepEqual(lastWord(SPRINGS, SPRINGS, FINE), { ticket: 0, alone: false });
});
