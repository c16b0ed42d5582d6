/**
 * The instance of the limiters that stand alone: a small module with a world of its own, compiled when the first of them is made, so
 * that an application of pools does not carry it. The rates of a pool are the pool's, in `core.ts`.
 */

import { compile } from "#rate-module";
import { use } from "./generated/rate_bg.js";
import { createInstance } from "./instance.js";

const instance = /* @__PURE__ */ createInstance(use);

export const { area, detail, guarded, hold, register, settle, survived, trapped } = instance;

/** Compiles the module if nobody has yet. Constructors call it. */
export function ready(): void {
  if (!instance.loaded()) instance.load(compile());
}
