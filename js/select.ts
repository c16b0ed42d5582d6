import type { Channel } from "./channel.js";
import { TimeoutError } from "./errors.js";
import { bindings } from "./generated/store_bg.js";
import { reject as refuse } from "./options.js";
import { onAbort } from "./signals.js";
import { ask, open } from "./store.js";
import { parseWait, type WaitOptions } from "./waiting.js";

/** One way in which a select may end: by receiving from a channel, or by sending to one. */
export type SelectCase<T> =
  | { readonly receive: Channel<T> }
  | { readonly send: Channel<T>; readonly value: T };

/** Which way was taken. */
export interface Selected<T> {
  /** Its place among the cases. */
  readonly index: number;
  /** What was received. */
  readonly value: T | undefined;
  /** The channel is closed: nothing was sent, or nothing was left to receive. */
  readonly closed: boolean;
}

/**
 * Sends or receives on the first of several channels that can do it, and on exactly one of them. If several can at once, the
 * one named first is taken: name them in the order of preference. A channel that is closed counts as one that can.
 *
 * @default timeout none
 * @throws TimeoutError; after an abort `signal.reason`; TypeError where there are no cases: that would wait for ever
 * @example
 * ```ts
 * import { Channel, select } from "tidegate";
 *
 * const [numbers, stop] = [new Channel<number>(1), new Channel<never>(0)];
 * numbers.trySend(7);
 * console.log(await select([{ receive: stop }, { receive: numbers }], { timeout: 1000 })); // → { index: 1, value: 7, closed: false }
 * ```
 */
export function select<T>(cases: readonly SelectCase<T>[], options?: WaitOptions): Promise<Selected<T>> {
  return new Promise((resolve, reject) => {
    if (!Array.isArray(cases) || cases.length === 0) refuse("cases", "an array of one case or more", cases);
    const { timeout, signal } = parseWait(options);
    signal?.throwIfAborted();
    const ticket = open("selects", () => bindings.select_open());
    const waiting: (() => void)[] = [];
    let decided = false;
    let begun = false;
    let unwatch = () => {};
    const decide = (end: () => void) => {
      decided = true;
      unwatch();
      for (const stop of waiting) stop();
      ask(() => bindings.select_close(ticket));
      end();
    };
    for (const [index, one] of (cases as readonly SelectCase<T>[]).entries()) {
      const sends = "send" in one ? { value: one.value } : undefined;
      const channel = "send" in one ? one.send : one.receive;
      const place = channel.start(sends, timeout, ticket, (outcome) => {
        // Without patience the next case may still be possible now.
        if (decided || (outcome.kind === "late" && !begun)) return;
        if (outcome.kind === "trap") {
          // Its ticket went with the instance.
          decided = true;
          unwatch();
          reject(outcome.error);
          return;
        }
        decide(() => {
          if (outcome.kind === "late") reject(new TimeoutError("select", timeout));
          else
            resolve({
              index,
              value: outcome.kind === "done" ? outcome.value : undefined,
              closed: outcome.kind === "closed",
            });
        });
      });
      begun = place !== undefined || begun;
      if (place !== undefined) waiting.push(() => channel.stop(place));
      if (decided) {
        for (const stop of waiting) stop();
        break;
      }
    }
    if (decided) return;
    if (!begun) decide(() => reject(new TimeoutError("select", timeout)));
    else unwatch = onAbort(signal, () => decide(() => reject(signal?.reason)));
  });
}
