/**
 * Chromium, Firefox and WebKit: a page runs the cases and posts the results back to the server it came from.
 */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { browsers, installBrowser } from "../../../setup/browsers.mjs";
import { atExit, killGroup } from "../../../setup/step.mjs";
import { link, linkWorker } from "../bundle.mjs";

const LIMIT = 300_000;

/** `command(url, profile)` gives what starts the browser on that page with that empty profile. */
function browserRuntime(name, command) {
  /** Runs a script that posts `{ version, results }` to `/results`. */
  const open = (script, worker, own) =>
    postedBy({ "/main.js": script, "/worker.js": worker, "/worker/own.js": own }, (url, profile) =>
      command(browsers[name].find(), url, profile),
    );
  return {
    name,
    missing: () => installBrowser(name),
    open,
    async start(only) {
      const entry = `import { runCases, surroundings } from "./cases.js";
surroundings.worker = ({ name }) => new Worker("/worker.js", { type: "module", name });
const results = await runCases(${JSON.stringify(name)}, ${JSON.stringify(only)});
const [version] = navigator.userAgent.match(/(Firefox|Chrome|Version)\\/[\\d.]+/) ?? [navigator.userAgent];
await fetch("/results", { method: "POST", body: JSON.stringify({ version, results }) });
`;
      const { main } = await link(name, entry, ["browser", "import"]);
      const worker = await linkWorker(name, ["browser", "import"]);
      // Where the package, linked into `main.js`, looks for its own worker.
      const own = await link(`${name}-own`, `import "../../../dist/worker/own.js";`, ["browser", "import"]);
      return open(readFileSync(main), readFileSync(worker), readFileSync(own.main));
    },
  };
}

/** Serves the page, starts the browser, and waits for the results. */
async function postedBy(scripts, command) {
  const profile = mkdtempSync(join(tmpdir(), "tidegate-browser-"));
  let posted;
  const results = new Promise((resolve, reject) => {
    posted = { resolve, reject };
  });
  const server = createServer((request, response) => {
    // Shared memory is for pages that are isolated.
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    const script = scripts[request.url];
    if (script !== undefined) return response.setHeader("content-type", "text/javascript").end(script);
    if (request.url === "/") {
      return response
        .setHeader("content-type", "text/html")
        .end(`<!doctype html><meta charset="utf-8"><title>conformance</title><script>
const tell = (error) => fetch("/error", { method: "POST", body: String(error?.stack ?? error) });
addEventListener("error", (event) => tell(event.error ?? event.message));
</script><script type="module" src="/main.js"></script>`);
    }
    if (request.method !== "POST") return response.writeHead(404).end();
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      response.end();
      if (request.url === "/results") posted.resolve(JSON.parse(body));
      else posted.reject(new Error(`the page failed: ${body}`));
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { file, args, env } = command(`http://127.0.0.1:${server.address().port}/`, profile);
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
    env: { ...process.env, ...env },
  });
  const forget = atExit(() => killGroup(child));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  child.once("error", posted.reject);
  child.once("exit", (code) =>
    posted.reject(new Error(`the browser ended with ${code}: ${said.slice(-2000)}`)),
  );
  const timer = setTimeout(
    () =>
      posted.reject(new Error(`no results after ${LIMIT / 1000} s; the browser said: ${said.slice(-2000)}`)),
    LIMIT,
  );
  try {
    return await results;
  } finally {
    clearTimeout(timer);
    killGroup(child);
    forget();
    server.close();
    server.closeAllConnections();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

export const chromium = browserRuntime("chromium", (file, url, profile) => ({
  file,
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    `--user-data-dir=${profile}`,
    url,
  ],
}));

export const firefox = browserRuntime("firefox", (file, url, profile) => ({
  file,
  args: ["--headless", "--no-remote", "--profile", profile, url],
  env: { HOME: profile },
}));

export const webkit = browserRuntime("webkit", (file, url, profile) => ({
  file: "xvfb-run",
  args: ["-a", file, url],
  env: { HOME: profile, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" },
}));
