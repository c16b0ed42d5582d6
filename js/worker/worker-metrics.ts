/** What a pool of workers tells of itself. */

/** Every number of a pool of workers. */
export interface WorkerMetrics {
  readonly name: string;
  /** Where the work is done: in workers, or in slices of this thread because there are none. */
  readonly mode: "workers" | "cooperative";
  /** Workers there may be. */
  readonly configured: number;
  /** Workers there are, those that start included. */
  readonly workers: number;
  readonly busy: number;
  readonly idle: number;
  /** Tasks that no worker has yet. */
  readonly queued: number;
  /** Tasks that workers have. */
  readonly running: number;
  readonly submitted: number;
  /** Tasks that ended well. */
  readonly completed: number;
  /** Tasks that threw. */
  readonly failed: number;
  readonly cancelled: number;
  /** Tasks that ran out of time. */
  readonly timeouts: number;
  /** Tasks that were lost with their worker. */
  readonly crashed: number;
  /** Tasks that were sent again after their worker had died. */
  readonly retried: number;
  /** Tasks that moved from one worker's queue to an idle one. */
  readonly moved: number;
  /** Messages sent to workers. */
  readonly messages: number;
  /** Workers started. */
  readonly spawned: number;
  /** Workers that died by themselves. */
  readonly deaths: number;
  /** Workers replaced after enough tasks or too much memory. */
  readonly recycled: number;
}

/** What a pool of workers tells those who listen. */
export interface WorkerEvents {
  /** A worker was started. */
  spawn: { worker: string };
  /** A worker died or could not be started. */
  crash: { worker: string; error: unknown };
  /** A worker was ended: it was idle, worn out, or had to be. */
  exit: { worker: string };
  /** There are no workers to be had: the work is done here. */
  cooperative: { error: unknown };
}
