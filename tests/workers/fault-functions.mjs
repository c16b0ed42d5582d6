/** What the workers of the fault test do: count each run in shared memory, and break in every way at every moment. */

import { expose } from "tidegate/workers";

/** `(module (func (export "f") unreachable))` */
const UNREACHABLE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 5, 1, 3, 0, 0, 11,
];

const nextTurn = globalThis.setImmediate ?? ((call) => setTimeout(call, 0));

/** Offers them. `counters()` gives the shared memory, `kill` ends the worker without a word. */
export function offer(counters, kill) {
  const ways = {
    kill,
    hang() {
      for (;;);
    },
    trap() {
      new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(UNREACHABLE))).exports.f();
    },
  };
  const ran = (id) => Atomics.add(new Int32Array(counters().runs), id, 1);
  /** How often each phase was struck. */
  const strike = (phase, way) => {
    Atomics.add(new Int32Array(counters().strikes), phase, 1);
    return ways[way]();
  };

  expose({
    /** An ordinary task. */
    task(id) {
      ran(id);
      return id * 2;
    },
    /** One that takes its time. */
    async slowTask(id) {
      ran(id);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return id * 2;
    },
    /** Breaks while it runs. */
    running(id, way) {
      ran(id);
      strike(1, way);
    },
    /** Breaks while its answer is put together: it is read by the clone. */
    answering(id, way) {
      ran(id);
      return {
        get value() {
          return strike(2, way);
        },
      };
    },
    /** Breaks when it has answered, with what is queued behind it. */
    queued(id, way) {
      ran(id);
      nextTurn(() => strike(0, way));
      return id * 2;
    },
  });
}
