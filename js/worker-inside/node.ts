/** Inside a worker of Node. */

import { parentPort, type Transferable } from "node:worker_threads";
import type { Inside } from "./inside.js";

export function inside(): Inside | undefined {
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
