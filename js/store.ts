/**
 * The second instance of this copy of the package: a world for the policies that share no admission with pools. A module
 * of its own, compiled when the first of its handles is made, so that an application of pools alone does not carry it.
 */

import { compile } from "#store-module";
import { use } from "./generated/store_bg.js";
import { createInstance } from "./instance.js";

const instance = /* @__PURE__ */ createInstance(use);

export const { area, detail, guarded: ask, register, unregister, hold, settle } = instance;

/** Compiles the module if nobody has yet. Constructors call it. */
export function ready(): void {
  if (!instance.loaded()) instance.load(compile());
}

/** Makes a machine; `what` is what there can be no more of. */
export function open(what: string, make: () => number): number {
  ready();
  const id = ask(make);
  if (id < 0) throw new RangeError(`There can be no more ${what} than 2^24`);
  return id;
}
