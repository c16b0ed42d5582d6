// Preloaded (`node --import`) into a server nobody here wrote: it listens on loopback only, says on which
// port, and ends when the range does, even if the range was killed and could not say goodbye.

import { Server } from "node:net";

const listen = Server.prototype.listen;

Server.prototype.listen = function (...args) {
  this.once("listening", () => process.send?.({ port: this.address().port }));
  const [port, ...rest] = args;
  const isPort = typeof port === "number" || (typeof port === "string" && /^\d+$/.test(port));
  if (!isPort) return listen.apply(this, args);
  const callback = rest.find((value) => typeof value === "function");
  return listen.call(this, { port: Number(port), host: "127.0.0.1" }, callback);
};

process.on("disconnect", () => process.exit(0));
