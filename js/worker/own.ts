/** The package's own worker: the kernels. */

import { expose } from "./expose.js";
import { kernelMemory } from "./kernel-module.js";
import { kernels } from "./kernels.js";

expose(kernels, { memory: kernelMemory });
