/** The outside of a synchronous call: runs the async function and lays its answer into shared memory. */

import { encode } from "./codec.js";

/** Cells before the bytes: the state, and how long the answer is. */
export const STATE = 0;
export const LENGTH = 1;
export const CELLS = 2;

export const WAITS = 0;
export const DONE = 1;
export const THROWN = 2;
/** It is longer than the buffer: the caller comes again with a longer one. */
export const LONGER = 3;

/** Answers that were too long for the buffer that came with the call, by their number. */
const kept = new Map<number, { state: number; bytes: Uint8Array }>();
let numbers = 0;

/** Answers one call of a worker. A number in place of a name fetches what was too long. */
export function answerOutside(
  functions: Record<string, (...args: never[]) => unknown>,
  name: unknown,
  args: unknown,
  buffer: unknown,
): void {
  const shared = buffer as SharedArrayBuffer;
  if (typeof name === "number") {
    const answer = kept.get(name);
    kept.delete(name);
    if (answer !== undefined) lay(shared, answer.state, answer.bytes);
    return;
  }
  void run(functions, name as string, args as unknown[]).then(({ state, bytes }) =>
    lay(shared, state, bytes),
  );
}

async function run(
  functions: Record<string, (...args: never[]) => unknown>,
  name: string,
  args: unknown[],
): Promise<{ state: number; bytes: Uint8Array }> {
  try {
    const fn = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (fn === undefined) {
      const offered = Object.keys(functions).map((each) => `\`${each}\``);
      throw new TypeError(
        `The pool offers no function \`${name}\` outside; it offers ${offered.join(", ") || "none"}`,
      );
    }
    return { state: DONE, bytes: encode(await (fn as (...all: unknown[]) => unknown)(...args)) };
  } catch (error) {
    return { state: THROWN, bytes: encode(error) };
  }
}

function lay(shared: SharedArrayBuffer, state: number, bytes: Uint8Array): void {
  const cells = new Int32Array(shared, 0, CELLS);
  const room = shared.byteLength - cells.byteLength;
  if (bytes.byteLength <= room) {
    new Uint8Array(shared, cells.byteLength).set(bytes);
    Atomics.store(cells, LENGTH, bytes.byteLength);
    Atomics.store(cells, STATE, state);
  } else {
    numbers = (numbers + 1) | 0;
    kept.set(numbers, { state, bytes });
    // Where the answer would lie: its number.
    new DataView(shared, cells.byteLength).setInt32(0, numbers);
    Atomics.store(cells, LENGTH, bytes.byteLength);
    Atomics.store(cells, STATE, LONGER);
  }
  Atomics.notify(cells, STATE);
}
