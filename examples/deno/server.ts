// deno run --allow-net --allow-env --allow-read server.ts
import { isQueueFullError, Pool } from "tidegate";

const address = Deno.env.get("UPSTREAM") ?? "https://example.com/";
const upstream = new Pool({ name: "upstream", concurrency: 6, queue: { capacity: 100, overflow: "error" } });

Deno.serve({ port: Number(Deno.env.get("PORT") ?? 8000) }, async (request) => {
  try {
    return await upstream.run(() => fetch(address, { signal: request.signal }), { signal: request.signal });
  } catch (error) {
    if (!isQueueFullError(error)) throw error;
    return new Response("come back later\n", { status: 503, headers: { "retry-after": "1" } });
  }
});
