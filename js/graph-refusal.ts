/** Why a task graph did not take a task. */

import { CycleError } from "./errors.js";
import { bindings } from "./generated/store_bg.js";
import type { Names } from "./names.js";
import { detail } from "./store.js";

/** The error of a task that was not added, by what the machine answered: the rest lies where that left it. */
export function notAdded(id: string, answer: number, names: Names): Error {
  switch (answer) {
    case 0:
      return new TypeError(`There is a task \`${id}\` already`);
    case 2:
      return new TypeError(`\`${id}\` depends on \`${names.name(detail())}\`, which is not there`);
    case 3:
      return new RangeError("There can be no more tasks than 2^24");
    default: {
      const way = Array.from({ length: detail() }, (_, n) => names.name(bindings.told(n)) as string);
      const cycle = [...way, way[0] as string];
      const circle = cycle.map((each) => `\`${each}\``).join(" → ");
      return new CycleError(`The dependencies go in a circle: ${circle}`, cycle);
    }
  }
}
