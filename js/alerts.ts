import type { Alert, MetricsSnapshot } from "./metrics.js";

/** Something to be told of. */
export interface AlertRule {
  /** What `notify` is told. */
  readonly name: string;
  /** Whether it holds. */
  when(snapshot: MetricsSnapshot): boolean;
  /** Milliseconds that it has to hold, so that a moment is no alarm. @default 0 */
  readonly for?: number;
  /** Called when it has held long enough, and again when it no longer holds. */
  notify(alert: Alert): void;
}

/** Before so many requests a hit ratio says little: the first of each object is always a miss. */
const ENOUGH_REQUESTS = 20;

/** What comes built in: the sizes at which pools of the kind this package is for have been seen to be in trouble. */
export const builtInAlerts: readonly Omit<AlertRule, "notify">[] = [
  { name: "pool-busy", when: ({ pools }) => pools.some(({ active }) => active > 100) },
  { name: "pool-very-busy", when: ({ pools }) => pools.some(({ active }) => active > 200) },
  {
    name: "queue-nearly-full",
    when: ({ pools }) =>
      pools.some(({ queued, queueCapacity }) => queueCapacity > 0 && queued > 0.8 * queueCapacity),
  },
  { name: "tasks-abandoned", when: ({ pools }) => pools.some(({ abandoned }) => abandoned > 0) },
  { name: "lock-crowded", when: ({ locks }) => locks.some(({ mostWaiting }) => mostWaiting > 50) },
  ...Object.entries({ channels: 0.85, messages: 0.8, responses: 0.7 }).map(([what, least]) => ({
    name: `${what}-rarely-reused`,
    when: ({ objects }: MetricsSnapshot) =>
      objects.some(
        ({ name, requests, hitRatio }) =>
          requests >= ENOUGH_REQUESTS && name.toLowerCase().includes(what) && hitRatio < least,
      ),
  })),
];
