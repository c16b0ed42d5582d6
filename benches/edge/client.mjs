/** A client that costs little: what it cannot ask for in time would be counted as the worker's slowness. */

import { Agent, get } from "node:http";
import { connect } from "node:net";

/** Asks for a path as often at once as said; how many answers there were of each kind. */
export async function burst(url, path, n, patience = 120_000) {
  const agent = new Agent({ maxSockets: n });
  const counts = {};
  const one = () =>
    new Promise((resolve) => {
      const request = get(`${url}${path}`, { agent, signal: AbortSignal.timeout(patience) }, (response) => {
        response.resume();
        response.on("end", () => resolve(String(response.statusCode)));
        response.on("error", () => resolve("no answer"));
      });
      request.on("error", () => resolve("no answer"));
    });
  const began = performance.now();
  await Promise.all(
    Array.from({ length: n }, async () => {
      const kind = await one();
      counts[kind] = (counts[kind] ?? 0) + 1;
    }),
  );
  agent.destroy();
  return { ms: performance.now() - began, counts };
}

/** A connection that asks for one path after the other, and knows an answer by its length. */
export async function connection(url) {
  const { hostname, port, host } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.setNoDelay(true);
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  const requests = new Map();
  const lengths = new Map();
  let missing = 0;
  let answered;
  let text = "";
  let asked;
  socket.on("data", (chunk) => {
    if (lengths.has(asked)) missing -= chunk.length;
    else {
      // The first answer to a path is read; those after it are as long.
      text += chunk.latin1Slice();
      const end = text.indexOf("\r\n\r\n");
      const [, length] = /content-length: (\d+)/i.exec(text) ?? [];
      if (end < 0 || text.length < end + 4 + Number(length)) return;
      if (!text.startsWith("HTTP/1.1 200")) throw new Error(text);
      lengths.set(asked, text.length);
      text = "";
      missing = 0;
    }
    if (missing === 0) answered();
  });
  return {
    ask(path) {
      let request = requests.get(path);
      if (request === undefined)
        requests.set(path, (request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`));
      asked = path;
      missing = lengths.get(path) ?? 0;
      return new Promise((resolve) => {
        answered = resolve;
        socket.write(request);
      });
    },
    close: () => socket.destroy(),
  };
}
