/** The page of the kernels: 64 MB in parts, through a pool of two workers, and through two bare ones that have half of it each or one part after the other. */

import { WorkerPool } from "tidegate/workers";
import { PART, PARTS, WORKERS } from "./kernel-load.mjs";

const pool = new WorkerPool({
  worker: ({ name }) => new Worker("/own.js", { type: "module", name }),
  size: { min: WORKERS, max: WORKERS },
});
const bare = Array.from({ length: WORKERS }, () => new Worker("/bare.js", { type: "module" }));
const calls = {
  sha256Chunks: (bytes) => [bytes, 65_536],
  searchSecrets: (bytes) => [bytes],
};

/** Text such as pages are made of, the same in every round. */
const sample = new Uint8Array(PART);
for (let at = 0, state = 1; at < PART; at += 1) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  const letter = state >>> 16;
  sample[at] = letter % 7 === 0 ? 32 : 97 + (letter % 26);
}

const contestants = {
  async ours(name, parts) {
    return Promise.all(parts.map((part) => pool.run(name, calls[name](part), { transfer: [part.buffer] })));
  },
  async halves(name, parts) {
    const share = PARTS / WORKERS;
    const halves = bare.map((worker, n) => answered(worker, name, parts.slice(n * share, (n + 1) * share)));
    return (await Promise.all(halves)).flat();
  },
  async parts(name, parts) {
    const answers = [];
    let next = 0;
    const takeOneByOne = async (worker) => {
      while (next < PARTS) {
        next += 1;
        answers.push(...(await answered(worker, name, [parts[next - 1]])));
      }
    };
    await Promise.all(bare.map(takeOneByOne));
    return answers;
  },
};

/** What a bare worker answers to some parts in one message. */
function answered(worker, name, parts) {
  const answers = new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  const all = parts.map((part) => calls[name](part));
  worker.postMessage(
    { name, all },
    parts.map(({ buffer }) => buffer),
  );
  return answers;
}

/** Runs a kernel over all of it, once; gives the milliseconds, and what tells the answers of both sides apart. */
globalThis.contest = async (who, name) => {
  const parts = Array.from({ length: PARTS }, () => sample.slice());
  // What was made above is collected before the clock runs.
  await new Promise((resolve) => setTimeout(resolve, 50));
  performance.mark(`${who} begins`);
  const began = performance.now();
  const answers = await contestants[who](name, parts);
  const ms = performance.now() - began;
  performance.mark(`${who} ends`);
  return { ms, answers: answers.length, first: JSON.stringify(answers[0]).slice(0, 200) };
};

globalThis.readiness = pool.ready;
