/** Until it has settled, as which it settles, or so many milliseconds are over, whichever is first, with a timer of this request. */
export function pause(settled: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    settled.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
