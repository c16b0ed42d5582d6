// One virtual target: an HTTP server on a port of its own that acts out a behaviour.

import { once } from "node:events";
import { createServer } from "node:http";
import { parseBehaviour } from "./behaviour.mjs";
import { McpSite } from "./mcp.mjs";
import { draw } from "./random.mjs";

export const LOOPBACK = "127.0.0.1";

/** Bytes of a dripping body go out this often, in milliseconds. */
const DRIP = 250;

/**
 * @typedef {object} Surroundings  What a target may know of the range it stands in.
 * @property {() => number} seed
 * @property {() => boolean} faultsOn
 * @property {(name: string) => string | undefined} addressOf
 */

export class Target {
  /** @type {import("./behaviour.mjs").Behaviour} */
  #behaviour;
  #definition;
  #range;
  #server;
  #mcp;
  #hits = 0;
  #window = { from: -Infinity, taken: 0 };
  #timers = new Set();
  #sockets = new Set();

  /** @param {import("./catalogue.mjs").Definition} definition @param {Surroundings} range */
  constructor(definition, range) {
    this.#definition = definition;
    this.#range = range;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) =>
      this.#take(request, response),
    );
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    this.reset();
  }

  get name() {
    return this.#definition.name;
  }

  get definition() {
    return this.#definition;
  }

  /** Requests taken since the start or the last reset; preflights are not counted. */
  get hits() {
    return this.#hits;
  }

  get behaviour() {
    return this.#behaviour;
  }

  get url() {
    return `http://${LOOPBACK}:${this.port}${pathOf(this.#definition)}`;
  }

  get port() {
    return this.#server.address()?.port;
  }

  get openSessions() {
    return this.#mcp?.openSessions ?? 0;
  }

  /** @param {number} port  0 lets the system choose. */
  async listen(port) {
    this.#server.listen(port, LOOPBACK);
    await once(this.#server, "listening");
  }

  /** Back to how the catalogue has it, as if nobody had ever called. */
  reset() {
    this.#behaviour = parseBehaviour(this.#definition.does);
    this.#hits = 0;
    this.#window = { from: -Infinity, taken: 0 };
    this.#mcp = this.#definition.mcp && new McpSite(this.name, this.#definition.mcp, this.#range.seed());
  }

  /** @param {Record<string, unknown>} patch */
  set(patch) {
    this.#behaviour = parseBehaviour(patch, this.#behaviour);
  }

  async close() {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #take(request, response) {
    const does = this.#now();
    for (const [name, value] of sharing(does.cors, request)) response.setHeader(name, value);
    if (request.method === "OPTIONS" && request.headers["access-control-request-method"] !== undefined) {
      response.writeHead(204).end();
      return;
    }
    this.#hits += 1;
    const nth = this.#hits;
    const retryAfter = this.#overLimit(does.limit);
    if (retryAfter !== undefined) {
      response
        .writeHead(429, { "Retry-After": retryAfter, "Content-Type": "text/plain" })
        .end("Too many requests\n");
      return;
    }
    const [low, high] = does.delay;
    const delay = low + (high - low) * draw(this.#range.seed(), this.name, "delay", nth);
    const act = () => {
      const fault = this.#fault(does.faults, nth);
      if (fault === undefined) this.#answer(does, request, response);
      else failWith(fault, response);
    };
    if (delay === 0) act();
    else this.#later(delay, act);
  }

  #now() {
    if (!this.#range.faultsOn() || this.#definition.whenFaulty === undefined) return this.#behaviour;
    return parseBehaviour(this.#definition.whenFaulty, this.#behaviour);
  }

  #overLimit(limit) {
    if (limit === null) return undefined;
    const now = Date.now();
    if (now - this.#window.from >= limit.per) this.#window = { from: now, taken: 0 };
    if (this.#window.taken < limit.requests) {
      this.#window.taken += 1;
      return undefined;
    }
    const opens = this.#window.from + limit.per;
    if (limit.retryAfter === "seconds") return String(Math.max(1, Math.ceil((opens - now) / 1000)));
    return new Date(Math.ceil(opens / 1000) * 1000).toUTCString(); // an HTTP date has no fraction: round up, never early
  }

  #fault(share, nth) {
    if (share === null || draw(this.#range.seed(), this.name, "fails", nth) >= share.rate) return undefined;
    return share.how[Math.floor(draw(this.#range.seed(), this.name, "how", nth) * share.how.length)];
  }

  #answer(does, request, response) {
    const html = [["Content-Type", "text/html; charset=utf-8"], ...does.headers];
    switch (does.answer) {
      case "page":
        if (does.script !== "" && new URL(request.url ?? "/", "http://range").pathname.endsWith(".js"))
          return send(response, 200, [["Content-Type", "text/javascript; charset=utf-8"]], does.script);
        return send(response, does.status, html, request.method === "HEAD" ? "" : document(does));
      case "empty":
        return send(response, does.status, does.headers, "");
      case "bytes":
        return send(
          response,
          does.status,
          [["Content-Type", "application/octet-stream"], ...does.headers],
          Buffer.alloc(does.size, 0x74),
        );
      case "redirect":
        return this.#redirect(does, request, response, html);
      case "mcp":
        return this.#speakMcp(does, request, response, html);
      case "hang":
        return undefined;
      case "hang-body":
        response.writeHead(does.status, flat(html));
        response.flushHeaders();
        return undefined;
      case "trickle":
        response.writeHead(does.status, flat(html));
        return this.#drip(response);
      case "reset":
        return response.socket?.resetAndDestroy();
      case "close":
        return response.socket?.destroy();
      case "garbage":
        return response.socket?.end("\u0016\u0003\u0001 this is not HTTP\r\n\r\n");
    }
  }

  #redirect(does, request, response, html) {
    const { to, hops, status } = does.redirect ?? { to: "/", hops: 1, status: 302 };
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://range");
    const hop = Number(searchParams.get("hop") ?? 0);
    const elsewhere = to.startsWith("/") ? undefined : this.#range.addressOf(to);
    const last = hops > 0 && hop + 1 >= hops;
    if (hops > 0 && hop >= hops) return send(response, 200, html, document(does));
    const location = last && elsewhere !== undefined ? elsewhere : `${pathname}?hop=${hop + 1}`;
    return send(response, status, [["Location", location], ...does.headers], "");
  }

  #speakMcp(does, request, response, html) {
    const { pathname } = new URL(request.url ?? "/", "http://range");
    if (pathname === pathOf(this.#definition)) return this.#mcp?.handle(request, response);
    if (pathname === "/.well-known/oauth-protected-resource") {
      const metadata = { resource: this.url, authorization_servers: ["https://login.example.com"] };
      return send(response, 200, [["Content-Type", "application/json"]], JSON.stringify(metadata));
    }
    return send(response, 404, html, document(does));
  }

  #drip(response) {
    response.write("drip\n");
    const timer = setInterval(() => response.write("drip\n"), DRIP);
    this.#timers.add(timer);
    response.once("close", () => {
      clearInterval(timer);
      this.#timers.delete(timer);
    });
  }

  #later(ms, act) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }
}

/** Where on its port a target lives: its name is in its address, so that a list of addresses can be read. */
function pathOf({ name, path }) {
  return path ?? `/${name}`;
}

/** CORS response headers. `Access-Control-Expose-Headers: *` holds for requests without credentials, which is all a scan sends. */
function sharing(cors, request) {
  switch (cors) {
    case "closed":
      return [];
    case "open":
      return [["Access-Control-Allow-Origin", "*"], ["Access-Control-Expose-Headers", "*"], ...PREFLIGHT];
    case "null":
      return [["Access-Control-Allow-Origin", "null"], ...PREFLIGHT];
    case "reflect": {
      const origin = request.headers.origin;
      if (origin === undefined) return [["Vary", "Origin"]];
      return [
        ["Access-Control-Allow-Origin", origin],
        ["Access-Control-Allow-Credentials", "true"],
        ["Access-Control-Expose-Headers", "*"],
        ["Vary", "Origin"],
        ...PREFLIGHT,
      ];
    }
    default:
      throw new TypeError(`No such sharing: ${cors}`);
  }
}

const PREFLIGHT = [
  ["Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE"],
  ["Access-Control-Allow-Headers", "*"],
];

function failWith(fault, response) {
  switch (fault) {
    case "reset":
      return response.socket?.resetAndDestroy();
    case "close":
      return response.socket?.destroy();
    case "hang":
      return undefined;
    case "status-500":
      return send(response, 500, [["Content-Type", "text/plain"]], "Internal error\n");
    case "status-503":
      return send(response, 503, [["Content-Type", "text/plain"]], "Unavailable\n");
    default:
      throw new TypeError(`No such fault: ${fault}`);
  }
}

function send(response, status, headers, body) {
  if (response.socket === null || response.destroyed) return;
  for (const [name, value] of headers) response.appendHeader(name, value);
  response.writeHead(status).end(body);
}

/** Header pairs as Node takes them in one go, names repeated where they come twice. */
function flat(headers) {
  return headers.flat();
}

function document({ title, body }) {
  return `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head><body><h1>${title}</h1>${body}</body></html>\n`;
}
