import { onAbort } from "./signals.js";

/** Resolves after so many milliseconds; an abort ends it at once, and nothing of it remains. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const until = Date.now() + ms;
    let timer: ReturnType<typeof setTimeout>;
    const stay = onAbort(signal, () => {
      stay();
      clearTimeout(timer);
      reject(signal?.reason);
    });
    // A delay beyond 2^31 − 1 ms fires at once, so it is waited for in parts.
    const wait = () => {
      const rest = until - Date.now();
      if (rest <= 2 ** 31 - 1) {
        timer = setTimeout(
          () => {
            stay();
            resolve();
          },
          Math.max(0, Math.min(rest, ms)),
        );
      } else timer = setTimeout(wait, 2 ** 31 - 1);
    };
    wait();
  });
}
