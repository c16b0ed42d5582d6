import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseBehaviour } from "./behaviour.mjs";
import { startRange } from "./range.mjs";
import { REFERENCE_TOOLS } from "./reference.mjs";
import { serve } from "./serve.mjs";

describe("targets", () => {
  /** @type {import("./range.mjs").Range} */
  let range;
  before(async () => {
    range = await startRange({ reference: false });
  });
  after(() => range.close());

  test("every target that should answer answers with the status the index says", async () => {
    const answering = range
      .index()
      .targets.filter(({ expect, name }) => expect.outcome === "answers" && name !== "endless");
    assert.ok(answering.length >= 35);
    await Promise.all(
      answering.map(async ({ name, url, expect }) => {
        const response = await fetch(url);
        assert.equal(response.status, expect.status, name);
        await response.arrayBuffer();
      }),
    );
  });

  test("every target that should fail fails, and no other does it the same way", async () => {
    const codes = new Map();
    for (const name of ["resetting", "closing", "garbled", "refused", "moved-for-ever"]) {
      const error = await fetch(range.url(name)).then(
        () => assert.fail(`${name} answered`),
        (error) => error,
      );
      codes.set(name, error.cause?.code ?? error.cause?.message);
    }
    assert.deepEqual(Object.fromEntries(codes), {
      resetting: "ECONNRESET",
      closing: "UND_ERR_SOCKET",
      garbled: codes.get("garbled"),
      refused: "ECONNREFUSED",
      "moved-for-ever": "redirect count exceeded",
    });
    assert.match(codes.get("garbled"), /^HPE_/);
  });

  test("a hanging target takes the connection and says nothing", async () => {
    const socket = connect(range.target("hanging").port, "127.0.0.1");
    await once(socket, "connect");
    const before = range.target("hanging").hits;
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.on("data", () => assert.fail("it answered"));
    while (range.target("hanging").hits === before) await new Promise(setImmediate);
    socket.destroy();
  });

  test("the same seed fails the same requests, another seed others", async () => {
    const pattern = async () => {
      const seen = [];
      for (let request = 0; request < 24; request += 1)
        seen.push((await fetch(range.url("flaky-500"))).status);
      return seen.join();
    };
    range.reset(1);
    const first = await pattern();
    range.reset(1);
    assert.equal(await pattern(), first);
    range.reset(2);
    assert.notEqual(await pattern(), first);
    assert.match(first, /500/);
    assert.match(first, /200/);
    range.reset(1);
  });

  test("the sixth request in a second gets 429 and Retry-After in the form the target promises", async () => {
    for (const [name, form] of [
      ["limited-seconds", /^\d+$/],
      ["limited-date", / GMT$/],
    ]) {
      range.target(name).reset();
      range
        .target(name)
        .set({ limit: { requests: 5, per: 60_000, retryAfter: name.slice("limited-".length) } });
      const answers = [];
      for (let request = 0; request < 6; request += 1) answers.push(await fetch(range.url(name)));
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 200, 200, 200, 429],
      );
      const after = answers[5].headers.get("retry-after");
      assert.match(after, form);
      const wait = name === "limited-date" ? Date.parse(after) - Date.now() : Number(after) * 1000;
      assert.ok(wait > 50_000 && wait <= 61_000, `${name}: ${after}`);
    }
    range.reset();
  });

  test("faults move the targets that have them and no others", async () => {
    range.faults = true;
    assert.equal((await fetch(range.url("fast"))).status, 503);
    assert.equal((await fetch(range.url("harbour/3"))).status, 503);
    assert.equal((await fetch(range.url("headers-good"))).status, 200);
    range.faults = false;
    assert.equal((await fetch(range.url("fast"))).status, 200);
  });

  test("a page of another origin may read what the target shares and nothing else", async () => {
    const origin = "http://localhost:1";
    const shared = async (name) =>
      (await fetch(range.url(name), { headers: { origin } })).headers.get("access-control-allow-origin");
    assert.equal(await shared("cors-open"), "*");
    assert.equal(await shared("cors-closed"), null);
    assert.equal(await shared("cors-reflecting"), origin);
    assert.equal(await shared("cors-null"), "null");
    const preflight = await fetch(range.url("mcp-json"), {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get("access-control-allow-headers"), "*");
  });

  test("a header that comes twice is sent twice", async () => {
    const response = await fetch(range.url("headers-twice"));
    assert.equal(response.headers.get("x-frame-options"), "DENY, SAMEORIGIN");
    const cookies = await fetch(range.url("cookies-bad"));
    assert.equal(cookies.headers.getSetCookie().length, 2);
  });

  test("every MCP target offers what the index says, page by page", async () => {
    for (const { name, url, expect } of range.index().targets) {
      if (expect.mcp?.tools === undefined) continue;
      const client = await openMcp(url);
      assert.deepEqual(
        (await listAll(client, "tools")).map((tool) => tool.name),
        expect.mcp.tools,
        name,
      );
      assert.deepEqual(
        (await listAll(client, "resources")).map((resource) => resource.uri),
        expect.mcp.resources,
        name,
      );
      assert.deepEqual(
        (await listAll(client, "prompts")).map((prompt) => prompt.name),
        expect.mcp.prompts,
        name,
      );
      await client.close();
      assert.equal(range.target(name).openSessions, 0, name);
    }
  });

  test("an MCP target turns away a stranger's session, a foreign cursor and a version it does not speak", async () => {
    const url = range.url("mcp-pages");
    const post = (headers, body) =>
      fetch(url, {
        method: "POST",
        headers: { ...MCP_HEADERS, ...headers },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, ...body }),
      });
    assert.equal((await post({}, { method: "tools/list" })).status, 400);
    assert.equal((await post({ "mcp-session-id": "nobody" }, { method: "tools/list" })).status, 404);
    const client = await openMcp(url);
    assert.equal((await client.call("prompts/list", { cursor: "dG9vbHM6Mw" })).error.code, -32602);
    assert.equal(
      (
        await post(
          { "mcp-session-id": client.session, "mcp-protocol-version": "1999-01-01" },
          { method: "ping" },
        )
      ).status,
      400,
    );
    assert.equal((await openMcp(range.url("mcp-old"))).version, "2024-11-05");
  });
});

describe("behaviour", () => {
  test("one sentence names the member that cannot be", () => {
    assert.throws(() => parseBehaviour({ statsu: 1 }), /without `statsu`/);
    assert.throws(() => parseBehaviour({ status: 700 }), {
      message: "Expected `status` to be an integer from 200 to 599, got `700`",
    });
    assert.throws(() => parseBehaviour({ headers: [["X", "a\r\nb"]] }), /headers that HTTP can carry/);
    assert.throws(() => parseBehaviour({ delay: [2, 1] }), /two of them in order/);
    assert.throws(() => parseBehaviour({ faults: { rate: 2, how: ["reset"] } }), /`faults`/);
  });
});

describe("serving", () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */
  let site;
  before(async () => {
    site = await serve({ port: 0, page: fileURLToPath(new URL(".", import.meta.url)) });
  });
  after(() => site.close());

  const control = (order, headers = {}) =>
    fetch(new URL("/control", site.url), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(order),
    });

  test("the index lists every target, the reference server with its real tools among them", async () => {
    const index = await (await fetch(new URL("/range.json", site.url))).json();
    assert.ok(index.targets.length >= 50);
    const reference = index.targets.find(({ name }) => name === "mcp-reference");
    const client = await openMcp(reference.url);
    assert.deepEqual((await listAll(client, "tools")).map((tool) => tool.name).sort(), REFERENCE_TOOLS);
    await client.close();
  });

  test("a behaviour set through the control endpoint is the behaviour from then on", async () => {
    assert.equal((await control({ target: "steady", set: { status: 418 } })).status, 200);
    assert.equal((await fetch(site.range.url("steady"))).status, 418);
    await control({ reset: true });
    assert.equal((await fetch(site.range.url("steady"))).status, 200);
  });

  test("a bad order is refused with a sentence and changes nothing", async () => {
    const refused = await control({ target: "steady", set: { status: "no" } });
    assert.equal(refused.status, 400);
    assert.match((await refused.json()).error, /Expected `status`/);
    assert.equal((await control({ target: "nobody", set: {} })).status, 400);
    assert.equal((await fetch(site.range.url("steady"))).status, 200);
  });

  test("another site's page can neither move the targets nor reach them by another name", async () => {
    assert.equal((await control({ faults: true }, { origin: "http://evil.example" })).status, 403);
    assert.equal((await control({ faults: true }, { "content-type": "text/plain" })).status, 415);
    assert.equal(site.range.faults, false);
    const { port } = new URL(site.url);
    const socket = connect(Number(port), "127.0.0.1");
    socket.write("GET /range.json HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    const [head] = await once(socket.setEncoding("utf8"), "data");
    assert.match(head, /^HTTP\/1\.1 421/);
    socket.destroy();
  });

  test("files outside the page's folder are not served", async () => {
    assert.equal((await fetch(new URL("/range.mjs", site.url))).status, 200);
    assert.equal((await fetch(`${site.url}..%2f..%2fCargo.toml`)).status, 404);
  });
});

test("a range that is killed takes the reference server with it", async () => {
  const child = spawn(
    process.execPath,
    [
      "--input-type=module",
      "-e",
      `
    import { startRange } from ${JSON.stringify(new URL("./range.mjs", import.meta.url).href)};
    const range = await startRange();
    console.log(JSON.stringify({ pid: range.referencePid, url: range.url("mcp-reference") }));
  `,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const [line] = await once(child.stdout.setEncoding("utf8"), "data");
  const { pid } = JSON.parse(line);
  assert.ok(isAlive(pid));
  child.kill("SIGKILL");
  await once(child, "exit");
  const giveUp = Date.now() + 10_000;
  while (isAlive(pid) && Date.now() < giveUp) await new Promise((done) => setTimeout(done, 20)); // another process's end: nothing to await
  assert.equal(isAlive(pid), false);
});

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const MCP_HEADERS = { "content-type": "application/json", accept: "application/json, text/event-stream" };

/** Just enough of a client to read a list, written apart from the engine's so that the two can disagree. */
async function openMcp(url) {
  const headers = { ...MCP_HEADERS };
  let id = 0;
  const send = async (message) => {
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: JSON.stringify({ jsonrpc: "2.0", ...message }),
    });
    const text = await response.text();
    if (message.id === undefined) return { response };
    const isStream = response.headers.get("content-type").startsWith("text/event-stream");
    const messages = isStream
      ? [...text.matchAll(/^data: ?(\{.+)$/gm)].map(([, data]) => JSON.parse(data))
      : [JSON.parse(text)];
    return { response, message: messages.find((candidate) => candidate.id === message.id) };
  };
  const call = async (method, params) => (await send({ id: (id += 1), method, params })).message;
  const opened = await send({
    id: (id += 1),
    method: "initialize",
    params: {
      protocolVersion: "2025-11-25",
      capabilities: {},
      clientInfo: { name: "range-test", version: "1" },
    },
  });
  const session = opened.response.headers.get("mcp-session-id");
  if (session !== null) headers["mcp-session-id"] = session;
  await send({ method: "notifications/initialized" });
  return {
    call,
    session,
    version: opened.message.result.protocolVersion,
    close: () => fetch(url, { method: "DELETE", headers }),
  };
}

async function listAll(client, kind) {
  const all = [];
  let cursor;
  do {
    const { result } = await client.call(`${kind}/list`, cursor === undefined ? {} : { cursor });
    all.push(...result[kind]);
    cursor = result.nextCursor;
  } while (cursor !== undefined);
  return all;
}
