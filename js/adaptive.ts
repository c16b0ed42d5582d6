import { type AdaptiveOptions, parseAdaptive } from "./adaptive-options.js";
import { type Disposer, Events } from "./events.js";
import { type AdaptiveMetrics, type AdaptiveSample, Limit } from "./limit.js";
import { boolean, integer, milliseconds, nameOf, object, reject } from "./options.js";

export type { AdaptiveMetrics, AdaptiveSample };

/** What a limit tells those who listen. */
export interface AdaptiveEvents {
  /** The limit changed. */
  scale: { from: number; to: number };
}

/**
 * A number of calls that may run at once and that follows how they go. A {@link Pool} does all this by itself when its
 * `concurrency` is given as {@link AdaptiveOptions}; this is for whoever has no pool.
 *
 * Calls that the limit did not hold back do not raise it, latency at rest does not drift up with a queue that the limit
 * itself built, and nobody is turned away to probe for it.
 *
 * @example
 * ```ts
 * import { AdaptiveLimit } from "tidegate";
 *
 * const limit = new AdaptiveLimit({ algorithm: "aimd", min: 1, max: 20, initial: 10 });
 * limit.on("scale", ({ from, to }) => console.log(from, to)); // → 10 9
 * limit.sample({ latency: 50, inFlight: 10, ok: false, dropped: true });
 * console.log(limit.limit); // → 9
 * ```
 */
export class AdaptiveLimit extends Limit {
  readonly #events: Events<AdaptiveEvents>;

  /** @throws TypeError where an option is not what it should be; the message names it. */
  constructor(options: AdaptiveOptions & { name?: string }) {
    if (object("options", options) === undefined) reject("options", "an object", options);
    super(parseAdaptive(options), nameOf(options, "adaptive"));
    this.#events = new Events("adaptive", this.name);
  }

  /**
   * Takes how a call went into account, and gives the limit from now on.
   *
   * @throws TypeError where a part of the sample is not what it should be
   */
  sample(sample: AdaptiveSample): number {
    if (object("sample", sample) === undefined) reject("sample", "an object", sample);
    const { latency, inFlight, ok, dropped = false, queued = 0, queueCapacity = Infinity } = sample;
    milliseconds("latency", latency);
    integer("inFlight", inFlight, 0, 4_294_967_295);
    boolean("ok", ok);
    boolean("dropped", dropped);
    integer("queued", queued, 0, 4_294_967_295);
    if (queueCapacity !== Infinity) integer("queueCapacity", queueCapacity, 0, 4_294_967_295);
    return this.take({ latency, inFlight, ok, dropped, queued, queueCapacity });
  }

  /** Calls `fn` with each event; the disposer takes it away again. */
  on<K extends keyof AdaptiveEvents>(event: K, fn: (detail: AdaptiveEvents[K]) => void): Disposer {
    return this.#events.on(event, fn);
  }

  /** @internal */
  override scaled(from: number, to: number): void {
    this.#events.emit("scale", { from, to });
  }
}
