/** Whether this is workerd, whose clock only moves with I/O, lest anybody measure what others do. */
export const isWorkerd: boolean =
  typeof navigator === "object" && (navigator as { userAgent?: string }).userAgent === "Cloudflare-Workers";

let yields = 0;

/** Gives the thread to what else wants it: events, timers, a paint. A microtask would not. */
export function yieldToHost(): Promise<void> {
  const { scheduler } = globalThis as { scheduler?: { yield?(): Promise<void> } };
  yields += 1;
  // What continues after `scheduler.yield` goes before timers, and on some hosts so does a message (on workerd always):
  // every fourth time it is a timer, so that timers have their turn.
  if (isWorkerd || yields % 4 === 0) return new Promise((resolve) => setTimeout(resolve, 0));
  if (typeof scheduler?.yield === "function") return scheduler.yield();
  return new Promise((resolve) => {
    // A timer of 0 ms becomes one of 4 ms when it is nested; a message does not wait.
    if (typeof MessageChannel === "function") {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    } else if (typeof setImmediate === "function") setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
}
