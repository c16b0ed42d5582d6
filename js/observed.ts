/**
 * What the registry knows of handles without importing their classes, so that an application carries only those that it
 * uses: under which name their numbers stand, and what they are.
 */

import type { AdaptiveMetrics } from "./adaptive.js";
import type { BarrierMetrics } from "./barrier.js";
import type { CacheMetrics } from "./cache-terms.js";
import type { ChannelMetrics } from "./channel.js";
import type { CounterMetrics } from "./counter.js";
import type { CallerMetrics } from "./edge/caller-counts.js";
import type { EventMetrics } from "./event.js";
import type { GraphMetrics } from "./graph.js";
import { worlds } from "./instance.js";
import type { LockMetrics } from "./locks.js";
import type { ObjectMetrics } from "./object-terms.js";
import type { OrchestratorMetrics } from "./orchestrator.js";
import type { PressureMetrics } from "./pressure.js";
import type { RetryMetrics } from "./retry.js";
import type { SinkMetrics } from "./sink.js";
import type { StateMetrics } from "./state.js";
import { weakly } from "./weak.js";
import type { WorkerMetrics } from "./worker/worker-metrics.js";

/** The numbers of each kind of handle; pools, breakers and rates are known by their classes. */
export interface Numbers {
  cache: CacheMetrics;
  channel: ChannelMetrics;
  event: EventMetrics;
  barrier: BarrierMetrics;
  locks: LockMetrics;
  objects: ObjectMetrics;
  state: StateMetrics;
  counter: CounterMetrics;
  retry: RetryMetrics;
  graph: GraphMetrics;
  orchestrator: OrchestratorMetrics;
  sink: SinkMetrics;
  adaptive: AdaptiveMetrics;
  pressure: PressureMetrics;
  workers: WorkerMetrics;
  caller: CallerMetrics;
}

/** A kind of handle, as its policy is called. */
export type Kind = keyof Numbers;

/** Whatever the registry can read. */
export interface Observable {
  /** Every number of it. */
  metrics(): { readonly name: string };
}

/** Handles without a machine: nothing else knows of them. */
const unworldly = new Set<{ deref(): Observable | undefined }>();

/** Lets the registry know of a handle that has no machine, for as long as it lives. */
export function observe(handle: Observable): void {
  unworldly.add(weakly(handle));
}

/** Every handle of this copy of the package that is alive. */
export function* everything(): Generator<object> {
  for (const handles of worlds) yield* handles();
  for (const weak of unworldly) {
    const handle = weak.deref();
    if (handle === undefined) unworldly.delete(weak);
    else yield handle;
  }
}

/** What kind of handle this is, if it says so. */
export function kindOf(handle: object): Kind | undefined {
  return (handle as { kind?: Kind }).kind;
}
