// What is around the page: a range of targets served beside it, a worker on the edge that serves it and can scan, or, on static
// hosting, nothing, and then targets are simulated in the page.

import { SYNTHETIC_TARGETS, syntheticFetch } from "./synthetic.js";

export interface Surroundings {
  about: string;
  targets: string[];
  requestTimeout?: number;
  /** Used in place of the page's own `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** The worker that serves this page, and can scan for it. */
  worker?: string;
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

/** What a worker says at the same place. */
interface WorkerIndex {
  /** Under which address it scans, seen from the page. */
  engine: string;
}

/** Looks for what is beside the page. Without anything, the page brings its own targets. */
export async function findSurroundings(): Promise<Surroundings> {
  const index = await readIndex();
  if (index === undefined) return synthetic();
  if ("engine" in index) {
    const worker = new URL(index.engine, location.href).href;
    return {
      about: `Served by an edge worker, which can scan`,
      targets: [],
      worker,
      faults: false,
      setFaults: async () => false,
    };
  }
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

async function readIndex(): Promise<RangeIndex | WorkerIndex | undefined> {
  try {
    const response = await fetch("./range.json", { headers: { accept: "application/json" } });
    if (!response.ok || !(response.headers.get("content-type") ?? "").includes("json")) return undefined;
    const index: unknown = await response.json();
    return isIndex(index) || isWorker(index) ? index : undefined;
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

function isWorker(value: unknown): value is WorkerIndex {
  return typeof value === "object" && value !== null && "engine" in value && typeof value.engine === "string";
}
