/** Who hears a wake: the handle that its machine's number belongs to now, and nobody who had that number before. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createInstance, GRANTED } from "../../dist/instance.js";

// Where wakes lie in the reply area: see `src/bindings/mod.rs`.
const [WAKES, NEXT_DEADLINE, TRAY] = [0, 1, 8];
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** An instance whose world is a list of numbers, and how a machine in it wakes somebody. */
function instance() {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const cells = new Float64Array(memory.buffer);
  cells[NEXT_DEADLINE] = Number.POSITIVE_INFINITY;
  const made = createInstance(() => ({ memory, area: () => 0, world_wake() {} }));
  made.load(new WebAssembly.Module(EMPTY_MODULE));
  const wake = (id, ticket) => {
    cells.set([id, ticket, GRANTED, 0], TRAY);
    cells[WAKES] = 1;
    made.settle();
  };
  return { ...made, wake };
}

function listener(heard, name) {
  return { wake: (ticket) => heard.push([name, ticket]), rebuild: () => () => {} };
}

test("instance: a number that is given again belongs to the one who has it now", () => {
  const { register, wake } = instance();
  const heard = [];
  const [before, after] = [listener(heard, "before"), listener(heard, "after")];
  register(before, 7, () => {});
  // The last one that was looked up is remembered.
  wake(7, 1);
  register(after, 7, () => {});
  wake(7, 2);
  assert.deepEqual(heard, [
    ["before", 1],
    ["after", 2],
  ]);
});

test("instance: nobody hears a wake of a number that is given back", () => {
  const { register, unregister, wake } = instance();
  const heard = [];
  const handle = listener(heard, "handle");
  register(handle, 7, () => {});
  wake(7, 1);
  unregister(handle, 7);
  wake(7, 2);
  assert.deepEqual(heard, [["handle", 1]]);
});
