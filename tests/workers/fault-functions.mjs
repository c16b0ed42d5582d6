/** What the workers of the fault test do: count each run in shared memory, and break in every way at every moment. */

import { workerData } from "node:worker_threads";
import { expose } from "tidegate/workers";

const runs = new Int32Array(workerData.runs);
/** How often each phase was struck. */
const strikes = new Int32Array(workerData.strikes);

/** `(module (func (export "f") unreachable))` */
const UNREACHABLE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11,
];

const ways = {
  kill: () => process.exit(1),
  hang() {
    for (;;);
  },
  trap() {
    new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(UNREACHABLE))).exports.f();
  },
};

function strike(phase, way) {
  Atomics.add(strikes, phase, 1);
  return ways[way]();
}

expose({
  /** An ordinary task. */
  task(id) {
    Atomics.add(runs, id, 1);
    return id * 2;
  },
  /** One that takes its time. */
  async slowTask(id) {
    Atomics.add(runs, id, 1);
    await new Promise((resolve) => setTimeout(resolve, 1));
    return id * 2;
  },
  /** Breaks while it runs. */
  running(id, way) {
    Atomics.add(runs, id, 1);
    strike(1, way);
  },
  /** Breaks while its answer is put together: it is read by the clone. */
  answering(id, way) {
    Atomics.add(runs, id, 1);
    return {
      get value() {
        return strike(2, way);
      },
    };
  },
  /** Breaks when it has answered, with what is queued behind it. */
  queued(id, way) {
    Atomics.add(runs, id, 1);
    setImmediate(() => strike(0, way));
    return id * 2;
  },
});
