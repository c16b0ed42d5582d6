/** What a worker on the edge needs beside the policies: which targets may be contacted. */

export {
  isTargetRefusedError,
  resolveOverHttps,
  TargetGuard,
  type TargetGuardOptions,
  type TargetRefusal,
  TargetRefusedError,
} from "./guard.js";
