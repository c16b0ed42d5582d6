/** Inside a worker of a browser, Deno or Bun. */

import type { Inside } from "./inside.js";

interface Scope {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  close?(): void;
}

export function inside(): Inside | undefined {
  const scope = globalThis as unknown as Scope & {
    document?: unknown;
    Bun?: { isMainThread: boolean };
    process?: { exit(): void };
  };
  const { WorkerGlobalScope } = globalThis as { WorkerGlobalScope?: unknown };
  const isWorker =
    scope.Bun === undefined
      ? typeof WorkerGlobalScope === "function" && scope.document === undefined
      : !scope.Bun.isMainThread;
  if (!isWorker || typeof scope.postMessage !== "function") return undefined;
  return {
    post: (message, transfer) => scope.postMessage(message, transfer),
    listen: (fn) => scope.addEventListener("message", ({ data }) => fn(data)),
    // In Bun a worker leaves as a process does.
    close: () => (scope.close === undefined ? scope.process?.exit() : scope.close()),
    onClose(fn) {
      // A scope that closes itself tells nobody.
      const close = scope.close?.bind(scope);
      if (close === undefined) return;
      scope.close = () => {
        fn();
        close();
      };
    },
    memory: () => undefined,
  };
}
