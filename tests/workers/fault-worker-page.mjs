import { offer } from "./fault-functions.mjs";

let counters;
addEventListener("message", ({ data }) => {
  counters ??= data.counters;
});

offer(
  () => counters,
  () => {
    // A worker cannot end itself in the midst of a task: the page does it, while this one stands still.
    postMessage("kill me");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
);
