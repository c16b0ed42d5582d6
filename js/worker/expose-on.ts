import { callable, object, reject } from "../options.js";
import type { Inside } from "../worker-inside/inside.js";
import type { Functions } from "./call.js";
import { Server } from "./server.js";

/** What is exposed where this is no worker, for pools that find none. */
export const exposedHere = new Map<string, (...args: unknown[]) => unknown>();

let server: Server | undefined;

/** What {@link expose} can be told. */
export interface ExposeOptions {
  /** Bytes that the worker has taken, where the platform does not say or says too little: for `recycle.memory` of the pool. @default what Node says; elsewhere nothing */
  memory?: () => number;
}

/** `expose` where it is known how to find out whether this is a worker. */
export function exposeOn(
  inside: () => Inside | undefined,
  functions: Functions,
  options: ExposeOptions,
): void {
  if (object("functions", functions) === undefined) reject("functions", "an object of functions", functions);
  for (const [name, fn] of Object.entries(functions)) callable(`functions.${name}`, fn);
  if (options.memory !== undefined) callable("options.memory", options.memory);
  const within = server === undefined ? inside() : undefined;
  if (within !== undefined) server = new Server(within);
  const offered = server?.functions ?? exposedHere;
  for (const [name, fn] of Object.entries(functions))
    offered.set(name, fn as (...args: unknown[]) => unknown);
  if (server !== undefined && options.memory !== undefined) server.memory = options.memory;
}

/** The server of this worker, if it is one. */
export function ownServer(): Server | undefined {
  return server;
}
