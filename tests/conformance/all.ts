/**
 * Every case of the suite. A new file of cases is one line here.
 */

import "./adaptive.js";
import "./adaptive-pool.js";
import "./admission.js";
import "./batch.js";
import "./breaker.js";
import "./cache.js";
import "./channel.js";
import "./cooperate.js";
import "./errors.js";
import "./gather.js";
import "./graph.js";
import "./groups.js";
import "./loading.js";
import "./deadlock.js";
import "./kernels.js";
import "./locks.js";
import "./object-pool.js";
import "./observed.js";
import "./options.js";
import "./orchestrator.js";
import "./plan.js";
import "./policy.js";
import "./pool.js";
import "./pool-cancel.js";
import "./pool-close.js";
import "./pool-health.js";
import "./pool-leases.js";
import "./pool-map.js";
import "./pool-passing.js";
import "./pool-queue.js";
import "./pressure.js";
import "./rate.js";
import "./registry-of-metrics.js";
import "./retry.js";
import "./slim.js";
import "./state.js";
import "./timeout.js";
import "./parallel.js";
import "./workers.js";
import "./workers-faults.js";

export { type RuntimeName, runCases } from "./registry.js";
export { surroundings } from "./surroundings.js";
