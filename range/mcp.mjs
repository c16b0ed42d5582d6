// An MCP server over Streamable HTTP, as the specification describes the transport
// (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports), small enough to misbehave on purpose.

import { draw } from "./random.mjs";

/**
 * @typedef {object} McpOptions
 * @property {"json" | "sse"} answers
 * @property {import("./mcp-catalogues.mjs").Offer} catalogue
 * @property {number} [pageSize]    Entries in one page of a list; everything at once by default.
 * @property {string[]} [versions]  Protocol versions it speaks, newest first.
 * @property {boolean} [sessions]   Hands out a session id and insists on it; default true.
 * @property {boolean} [endless]    Every page of tools names a next one.
 * @property {boolean} [locked]     Wants a bearer token nobody has.
 * @property {boolean} [refuses]    Answers `initialize` with an error.
 */

const VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;
const METHOD_NOT_FOUND = -32601;
const INVALID_PARAMS = -32602;
const INTERNAL_ERROR = -32603;

export class McpSite {
  /** Live sessions, and the number handed out so far. @type {Set<string>} */
  #sessions = new Set();
  #handedOut = 0;
  #options;
  #name;
  #seed;

  /** @param {string} name @param {McpOptions} options @param {number} seed */
  constructor(name, options, seed) {
    this.#name = name;
    this.#options = {
      pageSize: Infinity,
      versions: VERSIONS,
      sessions: true,
      endless: false,
      locked: false,
      refuses: false,
      ...options,
    };
    this.#seed = seed;
  }

  get openSessions() {
    return this.#sessions.size;
  }

  /** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
  async handle(request, response) {
    if (this.#options.locked) {
      const metadata = `http://${request.headers.host}/.well-known/oauth-protected-resource`;
      return answer(
        response,
        401,
        { error: "unauthorized" },
        { "WWW-Authenticate": `Bearer resource_metadata="${metadata}"` },
      );
    }
    switch (request.method) {
      case "POST":
        return this.#post(request, response);
      case "DELETE":
        return this.#delete(request, response);
      default:
        return answer(
          response,
          405,
          { error: "This endpoint takes POST and DELETE" },
          { Allow: "POST, DELETE" },
        );
    }
  }

  async #post(request, response) {
    const accept = request.headers.accept ?? "";
    if (!accept.includes("application/json") || !accept.includes("text/event-stream")) {
      return refuse(
        response,
        406,
        null,
        INVALID_REQUEST,
        "Accept must list application/json and text/event-stream",
      );
    }
    const message = parse(await read(request));
    if (message === undefined) return refuse(response, 400, null, PARSE_ERROR, "The body is not JSON");
    if (Array.isArray(message) || message?.jsonrpc !== "2.0")
      return refuse(response, 400, null, INVALID_REQUEST, "Expected one JSON-RPC 2.0 message");
    if (message.method === "initialize") return this.#initialize(message, response);

    if (this.#options.sessions) {
      const session = request.headers["mcp-session-id"];
      if (session === undefined)
        return refuse(response, 400, message.id, INVALID_REQUEST, "Mcp-Session-Id is missing");
      if (!this.#sessions.has(session))
        return refuse(response, 404, message.id, INVALID_REQUEST, "No such session");
    }
    const version = request.headers["mcp-protocol-version"];
    if (version !== undefined && !this.#options.versions.includes(version)) {
      return refuse(
        response,
        400,
        message.id,
        INVALID_REQUEST,
        `Protocol version ${version} is not spoken here`,
      );
    }
    if (message.id === undefined) return response.writeHead(202).end();
    return this.#reply(response, {
      jsonrpc: "2.0",
      id: message.id,
      ...this.#call(message.method, message.params ?? {}),
    });
  }

  #initialize(message, response) {
    if (this.#options.refuses)
      return this.#reply(response, failure(message.id, INTERNAL_ERROR, "The server could not start"));
    const asked = message.params?.protocolVersion;
    const protocolVersion = this.#options.versions.includes(asked) ? asked : this.#options.versions[0];
    const headers = {};
    if (this.#options.sessions) {
      const session = this.#newSession();
      this.#sessions.add(session);
      headers["Mcp-Session-Id"] = session;
    }
    const result = {
      protocolVersion,
      capabilities: { tools: {}, resources: {}, prompts: {} },
      serverInfo: { name: this.#name, version: "1.0.0" },
      instructions: "A server of the range. Its tools do nothing.",
    };
    return this.#reply(response, { jsonrpc: "2.0", id: message.id, result }, headers);
  }

  #newSession() {
    this.#handedOut += 1;
    const part = (word) =>
      Math.floor(draw(this.#seed, this.#name, this.#handedOut, word) * 2 ** 32)
        .toString(16)
        .padStart(8, "0");
    return ["a", "b", "c", "d"].map(part).join("");
  }

  #delete(request, response) {
    const known = this.#sessions.delete(request.headers["mcp-session-id"]);
    return response.writeHead(known ? 204 : 404).end();
  }

  #call(method, params) {
    const { tools, resources, prompts } = this.#options.catalogue;
    switch (method) {
      case "ping":
        return { result: {} };
      case "tools/list":
        return this.#page("tools", tools, params, this.#options.endless);
      case "resources/list":
        return this.#page("resources", resources, params, false);
      case "resources/templates/list":
        return { result: { resourceTemplates: [] } };
      case "prompts/list":
        return this.#page("prompts", prompts, params, false);
      default:
        return { error: { code: METHOD_NOT_FOUND, message: `No method ${method}` } };
    }
  }

  #page(kind, entries, params, endless) {
    const start = params.cursor === undefined ? 0 : readCursor(kind, params.cursor);
    if (start === undefined)
      return { error: { code: INVALID_PARAMS, message: "This cursor was not handed out here" } };
    const end = start + Math.min(this.#options.pageSize, entries.length);
    const shown = endless
      ? entries.map((entry) => ({ ...entry, name: `${entry.name}_${start}` }))
      : entries.slice(start, end);
    const more = endless || end < entries.length;
    return { result: { [kind]: shown, ...(more && { nextCursor: writeCursor(kind, end) }) } };
  }

  #reply(response, message, headers = {}) {
    if (this.#options.answers === "json") return answer(response, 200, message, headers);
    return stream(response, message, headers);
  }
}

/**
 * One answer as server-sent events, in the awkward ways the format allows: a comment, an event without data
 * to prime resumption, a notification first, CRLF and LF mixed, and one byte to a chunk in the middle.
 */
function stream(response, message, headers) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store", ...headers });
  const notification = {
    jsonrpc: "2.0",
    method: "notifications/message",
    params: { level: "info", data: "one moment – ≈ 1 ms" },
  };
  const text =
    ": the range\n\nid: 1\ndata:\n\n" +
    `event: message\r\nid: 2\r\ndata: ${JSON.stringify(notification)}\r\n\r\n` +
    `event: message\nid: 3\ndata:${JSON.stringify(message)}\n\n`;
  const bytes = Buffer.from(text);
  const middle = bytes.indexOf("≈");
  response.write(bytes.subarray(0, middle + 1));
  setImmediate(() => {
    response.write(bytes.subarray(middle + 1, middle + 2));
    setImmediate(() => response.end(bytes.subarray(middle + 2)));
  });
}

function answer(response, status, message, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(message));
}

function refuse(response, status, id, code, message) {
  return answer(response, status, failure(id ?? null, code, message));
}

function failure(id, code, message) {
  return { jsonrpc: "2.0", id, error: { code, message } };
}

function parse(body) {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

const BODY_LIMIT = 1024 * 1024;

async function read(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_LIMIT) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function writeCursor(kind, start) {
  return Buffer.from(`${kind}:${start}`).toString("base64url");
}

function readCursor(kind, cursor) {
  const [of, start] = Buffer.from(String(cursor), "base64url").toString().split(":");
  return of === kind && /^\d+$/.test(start ?? "") ? Number(start) : undefined;
}
