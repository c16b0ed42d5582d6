/**
 * Stands in for the bindings of the core: the `trap` build, whose next call of a chosen export really traps, and which
 * notices whoever calls an instance that has trapped before.
 */

import { __wbg_set_wasm as setWasm } from "trap-bindings";

export * from "trap-bindings";

interface Plan {
  readonly name: string;
  /** How many calls of it are left until the one that traps. */
  left: number;
}

let plan: Plan | undefined;
const after: string[] = [];

/** Called instead of the one of the build, for an export here hides its namesake there. */
export function __wbg_set_wasm(exports: WebAssembly.Exports): void {
  setWasm(armed(exports));
}

/** The `nth` call of that export from now on traps. */
export function trapAt(name: string, nth = 1): void {
  plan = { name, left: nth };
}

/** Whether a planned trap has not happened yet. */
export function isArmed(): boolean {
  return plan !== undefined;
}

/** Exports that were called of an instance after it had trapped. */
export function callsOfTheDead(): readonly string[] {
  return after;
}

function armed(exports: WebAssembly.Exports): WebAssembly.Exports {
  let dead = false;
  const trap = exports.trap as () => void;
  return Object.fromEntries(
    Object.entries(exports).map(([name, value]) => {
      if (typeof value !== "function") return [name, value];
      const call = (...args: unknown[]): unknown => {
        if (dead) after.push(name);
        if (plan?.name === name && --plan.left === 0) {
          plan = undefined;
          dead = true;
          trap();
        }
        return (value as (...args: unknown[]) => unknown)(...args);
      };
      return [name, call];
    }),
  ) as WebAssembly.Exports;
}
