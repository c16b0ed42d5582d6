/** Workers in Node. */

import { availableParallelism } from "node:os";
import { parentPort, type Transferable, Worker } from "node:worker_threads";
import type { Inside, Platform } from "./platform.js";

export const platform: Platform = {
  own: ({ name }) => new Worker(new URL("../worker/own.js", import.meta.url), { name }),
  cores: availableParallelism,
  has: () => true,
  inside,
};

function inside(): Inside | undefined {
  const port = parentPort;
  if (port === null) return undefined;
  return {
    post: (message, transfer) => port.postMessage(message, transfer as Transferable[]),
    listen: (fn) => void port.on("message", fn),
    close: () => port.close(),
    onClose() {},
    memory() {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
  };
}
