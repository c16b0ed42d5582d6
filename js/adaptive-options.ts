import { callable, choice, integer, number, reject } from "./options.js";
import { STRATEGIES, type Strategy } from "./strategy.js";

/** How a limit finds itself. */
export interface AdaptiveOptions {
  /**
   * What moves the limit. `aimd`: one more a round trip while all goes well, a tenth less when calls are dropped or slower
   * than `target`. `gradient`: follows the ratio of latency at rest to latency now. `vegas`: follows how many calls seem to
   * queue at the target. `threshold`: up when busy or slow, down when idle and fast.
   */
  algorithm: "aimd" | "gradient" | "vegas" | "threshold";
  /** The lowest it gets, at least 1. */
  min: number;
  /** The highest it gets. */
  max: number;
  /** Where it starts. @default `min`: latency at rest is best learned at rest */
  initial?: number;
  /** The least milliseconds between two changes. @default 1,000 for `threshold`, whose every change is a jump; 0 for the others, which move once a round of samples */
  interval?: number;
  /**
   * The response time to keep, in milliseconds. `aimd` takes a slower call as overload; `threshold` scales down only below it and up
   * above twice as much. The others find theirs and do not use it. @default none
   */
  target?: number;
  /** The share of load above which `threshold` scales up. Load is (running + queued) ÷ (slots + queue capacity), or ÷ slots where the queue has no end. @default 0.8 */
  upAbove?: number;
  /** The share of load below which `threshold` scales down. @default 0.3 */
  downBelow?: number;
  /** By what the limit is multiplied or divided; 0.5 and 2 mean the same. @default 0.9 for the decrease of `aimd`, 1.5 for `threshold` */
  factor?: number;
  /** For work that takes this machine's own cores: the limit is at most what the strategy says, and under pressure what the conservative one says, but not below `min`. @default none: the work is done elsewhere */
  strategy?: Strategy;
  /** A `PressureMonitor`: while it throttles, the limit is at most what the conservative strategy says, but not below `min`. @default none */
  pressure?: Pressed;
}

/** What {@link AdaptiveOptions.pressure} must tell; a `PressureMonitor` does. */
export interface Pressed {
  /** Whether to take on less. */
  shouldThrottle(): boolean;
  /** How many workers the machine bears now. */
  concurrency(strategy: Strategy): number;
}

/** The options of a limit, judged, each with its default. */
export interface AdaptiveConfig extends Required<Omit<AdaptiveOptions, "strategy" | "pressure">> {
  readonly strategy: Strategy | undefined;
  readonly pressure: Pressed | undefined;
}

const MOST = 4_294_967_294;

/** Reads the options of a limit; `of` stands before their names in messages. @throws TypeError that names what is wrong */
export function parseAdaptive(options: AdaptiveOptions, of = ""): AdaptiveConfig {
  const { algorithm, min, max, initial = min, target = Infinity, strategy, pressure } = options;
  const jumps = algorithm === "threshold";
  const { interval = jumps ? 1000 : 0, upAbove = 0.8, downBelow = 0.3, factor = jumps ? 1.5 : 0.9 } = options;
  choice(`${of}algorithm`, algorithm, ["aimd", "gradient", "vegas", "threshold"]);
  integer(`${of}min`, min, 1, MOST);
  integer(`${of}max`, max, min, MOST);
  integer(`${of}initial`, initial, min, max);
  number(`${of}interval`, interval, 0);
  number(`${of}target`, target, 0.001);
  number(`${of}upAbove`, upAbove, 0.001, 1000);
  number(`${of}downBelow`, downBelow, 0, upAbove);
  if (number(`${of}factor`, factor, 0.001, 1000) === 1) reject(`${of}factor`, "other than 1", 1);
  if (strategy !== undefined) choice(`${of}strategy`, strategy, STRATEGIES);
  if (pressure !== undefined) callable(`${of}pressure.concurrency`, pressure?.concurrency);
  return { algorithm, min, max, initial, interval, target, upAbove, downBelow, factor, strategy, pressure };
}
