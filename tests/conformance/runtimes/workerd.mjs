/**
 * workerd: the cases run inside one request of a real worker.
 */

import { serve, version } from "../../edge/serve.mjs";

export const workerd = {
  name: "workerd",
  missing: async () => ((await version()) === undefined ? "workerd did not start" : undefined),
  async start(only) {
    const entry = `import { runCases } from "./cases.js";
export default {
  async fetch() {
    return Response.json(await runCases("workerd", ${JSON.stringify(only)}));
  },
};
`;
    const worker = await serve("workerd", entry);
    try {
      const response = await fetch(worker.url, { signal: AbortSignal.timeout(300_000) });
      const text = await response.text();
      if (!response.ok) throw new Error(`workerd answered ${response.status}: ${text}`);
      return { version: await version(), results: JSON.parse(text) };
    } catch (error) {
      error.message += `\nworkerd said: ${worker.said()}`;
      throw error;
    } finally {
      worker.stop();
    }
  },
};
