import { now } from "./clock.js";
import { callable, milliseconds, object, reject } from "./options.js";
import { own } from "./presence.js";
import { weakly } from "./weak.js";

/** How well a pool does: all is as it should be; work is done, but worse than it should; nothing gets done. */
export type Health = "healthy" | "degraded" | "stalled";

/** How a pool finds out whether what it calls is there. */
export interface HealthCheckOptions {
  /** Resolves when all is well, rejects when it is not. One runs at a time. */
  run(): Promise<unknown>;
  /** Milliseconds between the beginnings of two checks. */
  every: number;
}

/** A check that has not come back after so many intervals is given up, and another begins. */
const GIVEN_UP = 10;

/** Checks that somebody waits for: an interval alone keeps none alive. */
const awaited = new Set<HealthCheck>();

/** Runs a check on first use and then every interval. Nothing runs or is timed before. */
export class HealthCheck {
  readonly #options: HealthCheckOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #beganAt = Number.NEGATIVE_INFINITY;
  #isRunning = false;
  #turn = 0;
  #passed: boolean | undefined;
  #waiting: { resolve(): void; reject(reason: unknown): void }[] = [];
  #closed = false;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  /** Begins, and takes up again what ended with the request that began it, as timers do on workerd. */
  begin(): void {
    if (this.#closed) return;
    const { every } = this.#options;
    if (this.#timer === undefined) {
      const weak = weakly(this);
      const timer = setInterval(() => {
        const check = weak.deref();
        if (check === undefined) clearInterval(timer);
        else check.#look();
      }, every);
      (timer as { unref?: () => void }).unref?.();
      this.#timer = timer;
      this.#look();
    } else if (now() - this.#beganAt >= every) this.#look();
  }

  /** What the last check says; before there is one, that it is not known to be well. */
  get health(): Health {
    if (this.#isRunning && now() - this.#beganAt > this.#options.every) return "stalled";
    return this.#passed === true ? "healthy" : "degraded";
  }

  /** Resolves when a check has passed and none has failed since. */
  ready(): Promise<void> {
    this.begin();
    if (this.#passed === true) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = own((settle: () => void) => settle());
      this.#waiting.push({ resolve: () => end(resolve), reject: (reason) => end(() => reject(reason)) });
      awaited.add(this);
      // Whoever waits to be ready is work: a process that can end by itself does not end before it is answered.
      (this.#timer as { ref?: () => void } | undefined)?.ref?.();
    });
  }

  /** No more checks; who waits for one is told why. */
  close(reason: unknown): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const { reject } of this.#take()) reject(reason);
  }

  #look(): void {
    const at = now();
    if (this.#isRunning && at - this.#beganAt < GIVEN_UP * this.#options.every) return;
    this.#isRunning = true;
    this.#beganAt = at;
    this.#turn += 1;
    const turn = this.#turn;
    const end = (passed: boolean) => {
      if (turn !== this.#turn) return;
      this.#isRunning = false;
      this.#passed = passed;
      if (passed) for (const { resolve } of this.#take()) resolve();
    };
    // In a tick of its own: a check may use the pool that it checks.
    Promise.resolve()
      .then(() => this.#options.run())
      .then(
        () => end(true),
        () => end(false),
      );
  }

  #take(): { resolve(): void; reject(reason: unknown): void }[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    awaited.delete(this);
    (this.#timer as { unref?: () => void } | undefined)?.unref?.();
    return waiting;
  }
}

/** Reads the options of a check. @throws TypeError that names what is wrong */
export function parseHealthCheck(name: string, options: HealthCheckOptions | undefined) {
  if (options === undefined) return undefined;
  if (object(name, options) === undefined) reject(name, "an object", options);
  callable(`${name}.run`, options.run);
  milliseconds(`${name}.every`, options.every, 1);
  return options;
}
