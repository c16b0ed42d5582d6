// The engine weighs ten times the page, so the page does not wait for it: it is fetched once the page stands.

type Engine = typeof import("tidegate/scan");

let loading: Promise<Engine> | undefined;

/** The scan engine. A download that failed is tried again by the next call. */
export function engine(): Promise<Engine> {
  loading ??= import("tidegate/scan").catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}
