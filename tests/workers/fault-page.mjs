/** The page of the fault test. */

import { counters, withstand } from "./fault-load.mjs";

globalThis.withstand = () => {
  const shared = counters();
  return withstand({
    shared,
    worker({ name }) {
      const worker = new Worker("/worker.js", { type: "module", name });
      worker.postMessage({ counters: shared });
      worker.addEventListener("message", ({ data }) => {
        if (data === "kill me") worker.terminate();
      });
      return worker;
    },
    heap() {
      globalThis.gc();
      return performance.memory.usedJSHeapSize;
    },
  });
};
