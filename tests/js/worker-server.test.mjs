/**
 * What a worker says, and when: of its own end, since only if the task that trapped is the only one under way may those behind it run
 * elsewhere; and of tasks that were sent together, which it answers together.
 */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { ANSWER_SPAN, ANSWERS, BYE, MARK, RUN, TASKS, TRAPPED } from "../../dist/worker/protocol.js";
import { Server } from "../../dist/worker/server.js";

/** Milliseconds; no time passes but what a task takes, so that short ones are answered together. */
let clock = 0;

beforeEach(() => {
  clock = 0;
  mock.method(performance, "now", () => clock);
});

const NAMES = [0, "trap", 1, "springs", 2, "later", 3, "fine"];
const [TRAP, SPRINGS, LATER, FINE] = [0, 4, 8, 12].map((what) => what + RUN);

/** A worker's server, what it says, and how it is told something or closes itself. */
function started() {
  const said = [];
  const host = { said };
  host.server = new Server({
    post: (message) => said.push(structuredClone(message)),
    listen: (fn) => {
      host.hear = fn;
    },
    close() {},
    onClose: (fn) => {
      host.closes = fn;
    },
    memory: () => undefined,
  });
  return host;
}

/** What the worker says last when it is given these tasks in one message. */
function lastWord(...calls) {
  const { server, said, hear } = started();
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

/** How many answers come in each message of a worker that is given, in one message, tasks that take so many milliseconds. */
function answeredTogether(durations, watched = false) {
  const { server, said, hear } = started();
  const left = [...durations];
  server.functions.set("work", () => {
    clock += left.shift();
  });
  // As after an idle time.
  clock = 1000;
  hear([MARK, TASKS, [0, "work"], durations.flatMap((_, ticket) => [ticket, RUN, 0]), watched]);
  return said.filter(([, what]) => what === ANSWERS).map(([, , answers]) => answers.length / ANSWER_SPAN);
}

test("server: tasks that were sent together are answered together, within 16 ms", () => {
  assert.deepEqual(answeredTogether([2, 2, 2, 2]), [4]);
  assert.deepEqual(answeredTogether([0.1, 0.1, 0.1]), [3]);
  // The first answer lies from 2 to 18 ms.
  assert.deepEqual(answeredTogether(Array(10).fill(2)), [9, 1]);
  assert.deepEqual(answeredTogether([9, 9, 9]), [2, 1]);
});

test("server: no answer waits for a task of which one has lately taken long", () => {
  assert.deepEqual(answeredTogether([20, 2, 2, 2]), [1, 1, 1, 1]);
  // With each of two it is less likely that the next takes as long: 20, 18, 16.2, 14.6, …
  assert.deepEqual(answeredTogether([20, ...Array(9).fill(2)]), [1, 1, 1, 4, 3]);
});

test("server: no answer lies whose task's time is watched", () => {
  assert.deepEqual(answeredTogether([2, 2, 2], true), [1, 1, 1]);
});

test("server: what it has answered goes before what a task asks the host, and before its end", () => {
  const { server, said, hear, closes } = started();
  server.functions.set("fine", () => 1);
  server.functions.set("asks", () => server.tell(["question"]));
  server.functions.set("closes", closes);
  hear([MARK, TASKS, [0, "fine", 1, "asks", 2, "closes"], [0, RUN, 0, 1, 4 + RUN, 0, 2, 8 + RUN, 0], false]);
  const words = said.map(([mark, what, answers]) =>
    what === ANSWERS ? answers.filter((_, at) => at % ANSWER_SPAN === 0) : what === BYE ? "bye" : mark,
  );
  assert.deepEqual(words, [[0], "question", [1], "bye", [2]]);
});
