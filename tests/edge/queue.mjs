/**
 * A queue on this machine for workers in workerd: it keeps what is sent to it, delivers it at least once, and forgets a message only when its
 * consumer has taken it. workerd has the two ends of a queue (a binding that sends by HTTP, an event that receives) and nothing
 * between them; this is what stands between them.
 */

import { createServer } from "node:http";

/** The worker through which messages reach the consumer: only a worker can call another's `queue`. */
export const DELIVERS = `export default {
  async fetch(request, env) {
    const { queue, isolate, messages } = await request.json();
    const batch = messages.map((each) => ({ ...each, timestamp: new Date(each.timestamp) }));
    return Response.json(await env["MAIN" + isolate].queue(queue, batch));
  },
};`;

export class LocalQueue {
  #waiting = [];
  #delivering = 0;
  #number = 0;
  #server;
  #target;
  #isClosed = false;
  /** How many of the next batches are refused. */
  refusing = 0;
  /** The last message that was sent. */
  last;
  /** What the next batches wait for before they are taken. */
  holding = Promise.resolve();
  /** Batches; and how often messages were sent, delivered, taken, and given back or lost with their consumer. */
  counts = { batches: 0, sent: 0, delivered: 0, taken: 0, again: 0 };

  /**
   * @param {object} [options]
   * @param {string} [options.name]
   * @param {number} [options.concurrency]  Batches under way at once. A batch is one message.
   * @param {number} [options.again]        Milliseconds until a message that was not taken comes again.
   * @param {(message: object) => number} [options.copies]  How often a message that was sent is delivered: 0 loses it. Once by default.
   */
  constructor({ name = "scans", concurrency = 4, again = 50, copies = () => 1 } = {}) {
    this.name = name;
    this.concurrency = concurrency;
    this.again = again;
    this.copies = copies;
  }

  /** Begins to take messages; gives the address that they are sent to. */
  async listen() {
    this.#server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      const body = Buffer.concat(parts);
      const { messages } =
        request.url === "/batch" ? JSON.parse(body) : { messages: [{ body: body.toString("base64") }] };
      this.last = JSON.parse(Buffer.from(messages.at(-1).body, "base64").toString());
      this.counts.batches += 1;
      await this.holding;
      if (this.refusing > 0) {
        this.refusing -= 1;
        response.writeHead(503).end();
        return;
      }
      for (const message of messages) this.#keep(message, Number(request.headers["x-msg-delay-secs"] ?? 0));
      // What a queue answers; workerd insists on it.
      const metrics = {
        backlogCount: this.#waiting.length,
        backlogBytes: 0,
        oldestMessageTimestamp: this.#waiting[0]?.timestamp ?? 0,
      };
      response.end(JSON.stringify({ metadata: { metrics } }));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => this.#server.once("listening", resolve));
    return `127.0.0.1:${this.#server.address().port}`;
  }

  /** Delivers to the worker {@link DELIVERS} at this address, to its consumers in turn. */
  deliverTo(url, isolates) {
    this.#target = { url, isolates };
    this.#next();
  }

  close() {
    this.#isClosed = true;
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #keep({ body, delaySecs }, delay) {
    this.counts.sent += 1;
    this.#number += 1;
    const message = {
      id: String(this.#number),
      timestamp: Date.now(),
      attempts: 0,
      body: JSON.parse(Buffer.from(body, "base64").toString()),
    };
    for (let copy = this.copies(message); copy > 0; copy -= 1)
      this.#later(() => this.#put(message), (delaySecs ?? delay) * 1000);
  }

  #put(message) {
    this.#waiting.push(message);
    this.#next();
  }

  #next() {
    while (
      this.#target !== undefined &&
      !this.#isClosed &&
      this.#delivering < this.concurrency &&
      this.#waiting.length > 0
    ) {
      this.#delivering += 1;
      void this.#deliver(this.#waiting.shift()).finally(() => {
        this.#delivering -= 1;
        this.#next();
      });
    }
  }

  async #deliver(kept) {
    const message = { ...kept, attempts: kept.attempts + 1 };
    this.counts.delivered += 1;
    const { url, isolates } = this.#target;
    let delay = this.again;
    try {
      const response = await fetch(url, {
        method: "POST",
        body: JSON.stringify({
          queue: this.name,
          isolate: this.counts.delivered % isolates,
          messages: [message],
        }),
      });
      const { outcome, retryBatch, retryMessages } = await response.json();
      const [again] = retryMessages;
      if (outcome === "ok" && !retryBatch.retry && again === undefined) {
        this.counts.taken += 1;
        return;
      }
      delay = (again?.delaySeconds ?? retryBatch.delaySeconds ?? delay / 1000) * 1000;
    } catch {
      // The consumer is gone, or never was.
    }
    this.counts.again += 1;
    this.#later(() => this.#put(message), delay);
  }

  #later(put, ms) {
    if (ms === 0) put();
    else setTimeout(() => this.#isClosed || put(), ms);
  }
}
