// Where the targets come from: a range served beside this page, or, on static hosting, targets simulated in the page.

import { SYNTHETIC_TARGETS, syntheticFetch } from "./synthetic.js";

export interface Surroundings {
  about: string;
  targets: string[];
  requestTimeout?: number;
  /** Used in place of the page's own `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Turns faults on or off and says how it stands then. */
  setFaults(on: boolean): Promise<boolean>;
  faults: boolean;
}

interface RangeIndex {
  seed: number;
  faults: boolean;
  suggested?: { requestTimeout?: number };
  targets: { name: string; url: string }[];
}

/** Looks for a range beside the page. Without one, the page brings its own. */
export async function findSurroundings(): Promise<Surroundings> {
  const index = await readIndex();
  if (index === undefined) return synthetic();
  const { requestTimeout } = index.suggested ?? {};
  return {
    about: `Range of ${index.targets.length} targets, seed ${index.seed}`,
    targets: index.targets.map(({ url }) => url),
    ...(requestTimeout !== undefined && { requestTimeout }),
    faults: index.faults,
    async setFaults(on) {
      const response = await fetch("./control", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ faults: on }),
      });
      const state: unknown = await response.json();
      return isIndex(state) ? state.faults : on;
    },
  };
}

function synthetic(): Surroundings {
  const simulated = syntheticFetch();
  return {
    about: `${SYNTHETIC_TARGETS.length} synthetic targets, simulated in this page`,
    targets: [...SYNTHETIC_TARGETS],
    requestTimeout: 2000,
    fetch: simulated.fetch,
    faults: false,
    async setFaults(on) {
      simulated.faults = on;
      return on;
    },
  };
}

async function readIndex(): Promise<RangeIndex | undefined> {
  try {
    const response = await fetch("./range.json", { headers: { accept: "application/json" } });
    if (!response.ok || !(response.headers.get("content-type") ?? "").includes("json")) return undefined;
    const index: unknown = await response.json();
    return isIndex(index) ? index : undefined;
  } catch {
    return undefined;
  }
}

function isIndex(value: unknown): value is RangeIndex {
  return (
    typeof value === "object" &&
    value !== null &&
    "targets" in value &&
    Array.isArray(value.targets) &&
    "faults" in value
  );
}
