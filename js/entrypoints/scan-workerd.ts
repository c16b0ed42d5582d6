/** Imports the compiled scan module statically, for workerd compiles nothing at run time, and connects through its sockets. */
import { connect } from "cloudflare:sockets";
import module from "../generated/scan_bg.wasm";
import { provideConnect } from "../scan/connect.js";
import { provide } from "../scan/instance.js";

provide(() => module);

// A refused connection and one that nobody answers fail alike here: neither is called closed.
provideConnect(async (hostname, port, { timeout, signal }) => {
  const socket = connect({ hostname, port });
  const ended = new Promise<"no-answer" | "unknown">((resolve) => {
    const timer = setTimeout(resolve, timeout, "no-answer");
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve("unknown");
    });
  });
  const opened = socket.opened.then(
    () => "open" as const,
    () => "unknown" as const,
  );
  try {
    return await Promise.race([opened, ended]);
  } finally {
    socket.close().catch(() => {});
  }
});

export * from "../scan/index.js";
