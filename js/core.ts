/** The instance of this copy of the package: one world for all policies that admit, refuse and wait for each other. */
import { use } from "./generated/core_bg.js";
import { createInstance } from "./instance.js";

export const {
  load,
  loaded,
  ready,
  seed,
  guarded,
  area,
  detail,
  register,
  hold,
  unregister,
  settle,
  survived,
  trapped,
} = createInstance(use);
