// bun run server.ts
import { isQueueFullError, Pool } from "tidegate";

const address = Bun.env.UPSTREAM ?? "https://example.com/";
const upstream = new Pool({ name: "upstream", concurrency: 6, queue: { capacity: 100, overflow: "error" } });

const server = Bun.serve({
  port: Number(Bun.env.PORT ?? 3000),
  async fetch(request) {
    try {
      return await upstream.run(() => fetch(address, { signal: request.signal }), { signal: request.signal });
    } catch (error) {
      if (!isQueueFullError(error)) throw error;
      return new Response("come back later\n", { status: 503, headers: { "retry-after": "1" } });
    }
  },
});
console.log(`Listening on ${server.url}`);
