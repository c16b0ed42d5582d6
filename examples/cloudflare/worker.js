import { Pool } from "tidegate";

// All concurrent requests of an isolate share it: at most 6 of them call the upstream at once, and the others wait their turn.
const upstream = new Pool({ name: "upstream", concurrency: 6 });

export default {
  fetch: (_, env) => upstream.run(({ signal }) => fetch(env.UPSTREAM, { signal })),
};
