/**
 * Exports of a wasm instance whose next call of a chosen one really traps, and which notice whoever calls an instance that
 * has trapped before.
 */

interface Plan {
  readonly name: string;
  /** How many calls of it are left until the one that traps. */
  left: number;
}

let plan: Plan | undefined;
const after: string[] = [];

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

/** The exports of an instance, each of which `trap` ends where it is planned. */
export function armed(exports: WebAssembly.Exports, trap: () => void): WebAssembly.Exports {
  let dead = false;
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

// (module (func (export "trap") unreachable))
const unreachable = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 8, 1, 4, 116, 114, 97, 112, 0, 0, 10, 5, 1,
  3, 0, 0, 11,
]);

/** What traps in a module of its own, for those whose module has no export that does. */
export function elsewhere(): () => void {
  const { trap } = new WebAssembly.Instance(new WebAssembly.Module(unreachable)).exports;
  return trap as () => void;
}
