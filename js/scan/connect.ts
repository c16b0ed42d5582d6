/** TCP where the host has it: Node, Deno and Bun through `node:net`, workerd through its own sockets. Pages have none. */
import type { PortState, ScanOptions } from "./types.js";

type Connect = NonNullable<ScanOptions["connect"]>;
type Net = typeof import("node:net");

let provided: Connect | undefined;

/** Says how this host connects, where an entry point knows better than `node:net`. */
export function provideConnect(connect: Connect): void {
  provided = connect;
}

/** The host's way to open TCP connections, if it has one. */
export function hostConnect(): Connect | undefined {
  if (provided !== undefined) return provided;
  const net = nodeNet();
  if (net === undefined) return undefined;
  return (host, port, { timeout, signal }) =>
    new Promise<PortState>((resolve) => {
      const socket = net.connect({ host, port, timeout });
      const end = (state: PortState) => {
        signal.removeEventListener("abort", aborted);
        socket.destroy();
        resolve(state);
      };
      const aborted = () => end("unknown");
      signal.addEventListener("abort", aborted, { once: true });
      socket.once("connect", () => end("open"));
      socket.once("timeout", () => end("no-answer"));
      socket.once("error", (error) => end(stateOf((error as { code?: string }).code)));
    });
}

function stateOf(code: string | undefined): PortState {
  switch (code) {
    case "ECONNREFUSED":
    case "ConnectionRefused":
      return "closed";
    case "ETIMEDOUT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "no-answer";
    default:
      return "unknown";
  }
}

/** Asked for at run time, so that no bundler looks for it. */
function nodeNet(): Net | undefined {
  const host = globalThis.process as { getBuiltinModule?: (name: string) => unknown } | undefined;
  if (typeof document !== "undefined" || typeof host?.getBuiltinModule !== "function") return undefined;
  return host.getBuiltinModule("node:net") as Net | undefined;
}
