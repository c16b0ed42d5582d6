// The page and the range on one address: `node range/serve.mjs [--port N] [--page DIR] [--base N] [--seed N] [--no-reference]`.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startRange } from "./range.mjs";

const PAGE = fileURLToPath(new URL("../dist/page", import.meta.url));
const USUAL_PORT = 4173;
const LOOPBACKS = ["127.0.0.1", "::1"];

/**
 * Serves the built page with a range beside it: `/range.json` names the targets, `/control` moves them.
 *
 * @param {object} [options]
 * @param {number} [options.port]  Where the page is; 4173 by default, and the next free one if that is taken. 0 is any.
 * @param {string} [options.page]  Folder of the built page.
 * @param {number} [options.base]  First port of the targets; free ones by default.
 * @param {number} [options.seed]
 * @param {boolean} [options.reference]
 * @returns {Promise<{ url: string, range: import("./range.mjs").Range, close(): Promise<void> }>}
 */
export async function serve({ port, page = PAGE, ...options } = {}) {
  const range = await startRange(options);
  const root = resolve(page);
  const handler = (request, response) => {
    answer(request, response, range, root).catch((error) => {
      if (!response.headersSent) text(response, 500, `${error.message}\n`);
      else response.destroy();
    });
  };
  /** @type {import("node:http").Server[]} */
  const servers = [];
  const close = async () => {
    await Promise.all([range.close(), ...servers.map(shut)]);
  };
  try {
    const chosen = await listen(servers, handler, port);
    return { url: `http://localhost:${chosen}/`, range, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** `localhost` is either loopback, so both are served where the machine has both. */
async function listen(servers, handler, port) {
  const first = createServer(handler);
  servers.push(first);
  const chosen = port ?? USUAL_PORT;
  try {
    await bind(first, chosen, LOOPBACKS[0]);
  } catch (error) {
    if (port !== undefined || error.code !== "EADDRINUSE")
      throw new Error(`Cannot listen on port ${chosen}: ${error.code ?? error.message}`);
    await bind(first, 0, LOOPBACKS[0]);
  }
  const taken = first.address().port;
  const second = createServer(handler);
  try {
    await bind(second, taken, LOOPBACKS[1]);
    servers.push(second);
  } catch {
    // no IPv6 here
  }
  return taken;
}

function bind(server, port, host) {
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, host, () => {
      server.off("error", failed);
      done();
    });
  });
}

function shut(server) {
  return new Promise((done) => {
    if (!server.listening) return done();
    server.close(() => done());
    server.closeAllConnections();
  });
}

async function answer(request, response, range, root) {
  // A page of another site could reach this port by a name that resolves to loopback; only loopback's own names are served.
  if (!/^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(request.headers.host ?? ""))
    return text(response, 421, "Not served under this name\n");
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  if (pathname === "/range.json") return json(response, 200, range.index());
  if (pathname === "/control") return control(request, response, range);
  return file(request, response, root, pathname);
}

async function control(request, response, range) {
  if (request.method === "GET") return json(response, 200, range.state());
  if (request.method !== "POST") return text(response, 405, "GET or POST\n");
  // Only JSON from this origin: another site's page may not move the targets.
  const origin = request.headers.origin;
  if (origin !== undefined && origin !== `http://${request.headers.host}`)
    return text(response, 403, "Only from the range's own page\n");
  if (!/^application\/json\b/.test(request.headers["content-type"] ?? ""))
    return text(response, 415, "Expected application/json\n");
  try {
    apply(range, JSON.parse(await body(request)));
  } catch (error) {
    return json(response, 400, { error: error.message });
  }
  return json(response, 200, range.state());
}

/** `{ faults }`, `{ reset: true, seed? }`, `{ target, set }` or `{ target, reset: true }`. */
function apply(range, order) {
  if (typeof order.target === "string") {
    const target = range.target(order.target);
    if (order.reset === true) target.reset();
    if (order.set !== undefined) target.set(order.set);
  } else if (order.reset === true) {
    range.reset(order.seed);
  }
  if (order.faults === undefined) return;
  if (typeof order.faults !== "boolean")
    throw new TypeError(`Expected \`faults\` to be true or false, got \`${JSON.stringify(order.faults)}\``);
  range.faults = order.faults;
}

async function body(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += chunk;
    if (text.length > 1024 * 1024) throw new RangeError("Expected at most 1 MB");
  }
  return text;
}

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".map": "application/json",
  ".png": "image/png",
  ".woff2": "font/woff2",
};

async function file(request, response, root, pathname) {
  if (request.method !== "GET" && request.method !== "HEAD") return text(response, 405, "GET or HEAD\n");
  const path = normalize(
    join(root, decodeURIComponent(pathname.endsWith("/") ? `${pathname}index.html` : pathname)),
  );
  if (!path.startsWith(root + sep)) return text(response, 404, "Not found\n");
  let bytes;
  try {
    bytes = await readFile(path);
  } catch {
    return text(response, 404, "Not found\n");
  }
  response.writeHead(200, {
    "Content-Type": TYPES[extname(path)] ?? "application/octet-stream",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
  });
  return response.end(request.method === "HEAD" ? undefined : bytes);
}

function json(response, status, value) {
  response
    .writeHead(status, {
      "Content-Type": "application/json",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    })
    .end(JSON.stringify(value));
}

function text(response, status, message) {
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(message);
}

async function main() {
  const { values } = parseArgs({
    options: {
      port: { type: "string" },
      page: { type: "string" },
      base: { type: "string" },
      seed: { type: "string" },
      "no-reference": { type: "boolean" },
    },
  });
  const site = await serve({
    port: number("port", values.port),
    page: values.page,
    base: number("base", values.base),
    seed: number("seed", values.seed),
    reference: !values["no-reference"],
  });
  console.log(
    `tidegate: ${site.url} (a range of ${site.range.index().targets.length} targets beside it; Ctrl+C ends it)`,
  );
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.once(signal, () => {
      site.close().then(() => process.exit(0));
    });
  }
}

function number(name, given) {
  if (given === undefined) return undefined;
  if (!/^\d{1,9}$/.test(given)) throw new TypeError(`Expected --${name} to be a number, got \`${given}\``);
  return Number(given);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 2;
  });
}
