/** What is measured, and how much of a peer's time it may take. */

/** No-op tasks that are all submitted at once. */
export const PIPELINED = 10_000;
/** No-op tasks of which each is submitted when the one before it has answered. */
export const ONE_BY_ONE = 100;
export const WORKERS = 2;

export const bars = {
  chromium: { pipelined: { workerpool: 0.15, comlink: 0.25 }, "one at a time": { comlink: 1.1 } },
  node: { pipelined: { workerpool: 0.3, piscina: 0.3 }, "one at a time": { comlink: 1.1 } },
};

/** The loads over something that calls a no-op in a worker. */
export const loads = {
  async pipelined(noop) {
    const answers = [];
    for (let n = 0; n < PIPELINED; n += 1) answers.push(noop());
    await Promise.all(answers);
  },
  async "one at a time"(noop) {
    for (let n = 0; n < ONE_BY_ONE; n += 1) await noop();
  },
};

export const sizes = { pipelined: PIPELINED, "one at a time": ONE_BY_ONE };

/**
 * How often a load is run, on how many pairs of fresh contestants. Whether two threads come to lie on one core or on two
 * decides over a factor of three for a single task, and stays so for as long as they live: one pair alone would tell the luck of it.
 */
export const rounds = { pipelined: 11, "one at a time": 15 };
export const pairs = { pipelined: 1, "one at a time": 25 };
