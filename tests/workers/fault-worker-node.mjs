import { workerData } from "node:worker_threads";
import { offer } from "./fault-functions.mjs";

offer(
  () => workerData,
  () => process.exit(1),
);
