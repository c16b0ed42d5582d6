/** The worker of `edge/` with consumers that die on the way, and objects that can be made to restart. */

import { ScanJobObject as Base, queueConsumer, scanHandler } from "tidegate/edge";
import { Scanner, toCsv } from "tidegate/scan";

/** Statements that were begun, of those that count a result; and the most bytes of results that one statement has read. */
let counted = 0;
let mostRead = 0;

/** The storage of an object, of which one statement in a hundred fails midway in a word of several. */
function failing({ storage }) {
  return {
    sql: {
      exec(query, ...values) {
        if (query.startsWith("UPDATE target") && (counted += 1) % 101 === 0)
          throw new Error("the disk failed");
        const rows = storage.sql.exec(query, ...values).toArray();
        const read = rows.reduce((sum, { json = "" }) => sum + new TextEncoder().encode(json).length, 0);
        mostRead = Math.max(mostRead, read);
        return { toArray: () => rows };
      },
    },
    transactionSync: (work) => storage.transactionSync(work),
    setAlarm: (at) => storage.setAlarm(at),
    deleteAlarm: () => storage.deleteAlarm(),
    deleteAll: () => storage.deleteAll(),
  };
}

export class ScanJobObject extends Base {
  constructor(state, env) {
    super({ storage: failing(state) }, env);
    this.state = state;
  }

  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const { storage } = this.state;
    switch (pathname) {
      case "/restart":
        return this.state.abort("restart");
      case "/lose-alarm":
        await storage.deleteAlarm();
        await storage.sync();
        return this.state.abort("restart");
      case "/alarm":
        // As the platform does: what was set is gone when it comes.
        await storage.deleteAlarm();
        await this.alarm();
        return Response.json({});
      case "/later": {
        const now = Date.now;
        Date.now = () => now() + Number(searchParams.get("ms"));
        return Response.json({});
      }
      case "/seen":
        return Response.json({ mostRead, alarm: await storage.getAlarm() });
      case "/meanwhile":
        return Response.json({ text: await this.#readWhile(searchParams.get("path"), await request.text()) });
      case "/record":
        // Whoever hears no answer says it again.
        await super.fetch(request.clone());
    }
    return super.fetch(request);
  }

  /** What is read at a path, if something is recorded after its first piece. */
  async #readWhile(path, body) {
    const read = (await super.fetch(new Request(`https://scan${path}`))).body.getReader();
    const decoder = new TextDecoder();
    let text = decoder.decode((await read.read()).value, { stream: true });
    await super.fetch(new Request("https://scan/record", { method: "POST", body }));
    for (let part = await read.read(); !part.done; part = await read.read())
      text += decoder.decode(part.value, { stream: true });
    return text;
  }
}

const died = new Set();
let shards = 0;

/** Dies with its consumer: of the shards that begin, one in three throws midway and one in seven falls silent, each once; one kind of target, always. */
class Mortal extends Scanner {
  async *scan(targets, options) {
    const [first] = targets;
    shards += 1;
    const kind = died.has(first) ? 0 : shards;
    died.add(first);
    const isPoisoned = targets.some((target) => target.includes("poison"));
    let results = 0;
    for await (const event of super.scan(targets, options)) {
      yield event;
      results += event.type === "result" ? 1 : 0;
      if (isPoisoned && event.type === "started") throw new Error("poisoned");
      if (results === 7 && kind % 3 === 1) throw new Error("died on the way");
      if (results === 12 && kind % 7 === 2) await new Promise(() => {});
    }
  }
}

const scan = { tries: 1 };
const handles = new Map();
let consume;

// biome-ignore lint/style/noDefaultExport: that is what a worker is
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/object") {
      const object = env.ScanJobObject.get(env.ScanJobObject.idFromName(searchParams.get("id")));
      const init = request.method === "POST" ? { method: "POST", body: await request.text() } : {};
      try {
        return await object.fetch(`https://scan${searchParams.get("path")}`, init);
      } catch (error) {
        return Response.json({ error: String(error) });
      }
    }
    // How long results are kept is the worker's to say; here a request may.
    const keep = Number(request.headers.get("x-keep") ?? 3_600_000);
    if (!handles.has(keep)) handles.set(keep, scanHandler(optionsOf(env, keep)));
    return (await handles.get(keep)(request)) ?? new Response("not found\n", { status: 404 });
  },
  async queue(batch, env) {
    consume ??= queueConsumer({
      Scanner: Mortal,
      scan,
      jobs: env.ScanJobObject,
      targets: {
        allow: ["*"],
        resolve: async (name) => [name.includes("inner") ? "10.0.0.1" : "93.184.216.34"],
      },
    });
    await consume(batch);
  },
};

function optionsOf(env, keep) {
  return {
    Scanner,
    scan,
    tokens: env.TOKENS.split(" "),
    targets: { allow: ["*"] },
    quotas: {
      requests: { limit: 100_000, per: 60_000 },
      scans: { limit: 1000, per: 60_000 },
      targets: { limit: 1_000_000, per: 60_000 },
    },
    scans: { jobs: env.ScanJobObject, formats: { csv: toCsv, html: asHtml }, lease: 1500, keep },
  };
}

function asHtml({ results }) {
  return `<p>${results.length} results</p>`;
}
