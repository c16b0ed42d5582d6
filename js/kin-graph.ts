/** The wait-for graph of the store module, in which the locks stand already, for all that is told elsewhere. */

import { now } from "./clock.js";
import { RuntimeTrapError } from "./errors.js";
import { bindings } from "./generated/store_bg.js";
import type { Handle } from "./instance.js";
import { chainOf, type Graph, giveWay, judgedBy } from "./kin.js";
import { ask, ready, register, settle } from "./store.js";

/** No machine has it. */
const NUMBER = -1;

let edges = new Map<number, number>();
let lockLabel: (set: number, lock: number) => string = () => "a lock";
let attached = false;

/** From here on everything that is told is told to this graph. */
export function attach(): void {
  if (attached) return;
  attached = true;
  ready();
  begin();
}

/** Says what chains call locks. */
export function nameLocks(label: (set: number, lock: number) => string): void {
  lockLabel = label;
}

function begin(): void {
  edges = new Map();
  register(handle, NUMBER, () => {});
  judgedBy(graph);
}

const handle: Handle = {
  wake: () => {},
  rebuild: () => {
    begin();
    return () => {};
  },
};

const graph: Graph = {
  child: (child, parent) => tell(() => bindings.kin_child(child, parent)),
  hold: (owner, resource, slots) => tell(() => bindings.kin_hold(owner, resource, slots)),
  letGo: (owner, resource, slots) => tell(() => bindings.kin_let_go(owner, resource, slots)),
  wait: (owner, wait, resource, slots, capacity, ends) =>
    tell(() => {
      for (const end of ends) bindings.push_id(end);
      edges.set(wait, bindings.kin_wait(owner, wait, resource, slots, capacity));
    }),
  over: (wait) => {
    const edge = edges.get(wait);
    if (edge === undefined) return;
    edges.delete(wait);
    tell(() => bindings.kin_over(edge));
  },
  resize: (resource, capacity) => tell(() => bindings.kin_resize(resource, capacity)),
  ended: (owner) => tell(() => bindings.kin_ended(owner)),
  judge: () => {
    for (;;) {
      let found: readonly number[] = [];
      tell(() => {
        const length = bindings.kin_judge(now());
        found = Array.from({ length }, (_, index) => bindings.told(index));
      });
      const [wait, ...numbers] = found;
      if (wait === undefined) break;
      const steps: [number, number, number][] = [];
      for (let at = 0; at < numbers.length; at += 3) {
        steps.push(numbers.slice(at, at + 3) as [number, number, number]);
      }
      giveWay(wait, chainOf(steps, lockLabel));
    }
    settle();
  },
};

/** A trap has been told to everybody who waits, and the fresh graph has been told everything. */
function tell(call: () => void): void {
  try {
    ask(call);
  } catch (error) {
    if (!(error instanceof RuntimeTrapError)) throw error;
  }
}
