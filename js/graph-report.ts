/** What a graph tells of its tasks. */

import { toEpoch } from "./clock.js";
import { bindings } from "./generated/store_bg.js";
import type { One } from "./graph-part.js";
import type { GraphReport, GraphTaskReport, GraphTaskState, Results } from "./graph-terms.js";
import { LIST } from "./instance.js";
import type { Names } from "./names.js";
import { area, ask, detail } from "./store.js";

/** What a task has come to, with its moments. */
export function reportOf(graph: number, one: One, state: GraphTaskState, names: Names): GraphTaskReport {
  ask(() => bindings.graph_read(graph, one.ticket));
  const [ready, started, ended, because] = area().slice(LIST + 1, LIST + 5) as unknown as [
    number,
    number,
    number,
    number,
  ];
  return {
    id: one.id,
    state,
    ...(state === "succeeded" ? { value: one.value } : {}),
    ...(state === "failed" || state === "cancelled" ? { error: one.error } : {}),
    ...(because >= 0 ? { because: names.name(because) as string } : {}),
    addedAt: one.addedAt,
    ...(ready >= 0 ? { readyAt: toEpoch(ready) } : {}),
    ...(started >= 0 ? { startedAt: toEpoch(started) } : {}),
    ...(ended >= 0 ? { endedAt: toEpoch(ended) } : {}),
    ...(started >= 0 && ended >= 0 ? { duration: ended - started } : {}),
  };
}

/** What those of these names gave that succeeded. */
export function resultsOf(tasks: ReadonlyMap<string, One>, names: Iterable<string>): Results {
  const results: Record<string, unknown> = Object.create(null);
  for (const name of names) {
    const one = tasks.get(name);
    if (one?.state === "succeeded") results[name] = one.value;
  }
  return results;
}

/** The longest way through the graph, and how long it took. */
export function criticalWay(graph: number, names: Names): Pick<GraphReport, "criticalPath" | "criticalTime"> {
  const length = ask(() => bindings.graph_critical_path(graph));
  const criticalTime = detail();
  const criticalPath = Array.from({ length }, (_, n) => names.name(bindings.told(n)) as string);
  return { criticalPath, criticalTime };
}
