import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream, existsSync, statSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { launchChromium } from "../chromium.mjs";
import { execute, ownVersion, project } from "./packed.mjs";

/** As users write it, the same for every bundler. */
const MAIN = `import { WorkerPool } from "tidegate/workers";

const pool = new WorkerPool({
  worker: () => new Worker(new URL("./my-worker.js", import.meta.url), { type: "module" }),
});
const square = await pool.run("square", [7]);
console.log("RESULT " + pool.metrics().mode + " " + square);
`;
const WORKER = `import { expose } from "tidegate/workers";

expose({ square: (n) => n * n });
`;
/** The package's own worker, which has the kernels; a bundler that looks for no workers is given a module of it. */
const KERNELS = `import { WorkerPool } from "tidegate/workers";

const pool = new WorkerPool({ size: 1 });
const digest = await pool.run("sha256", [new TextEncoder().encode("abc")]);
console.log("RESULT " + pool.metrics().mode + " " + digest[0].toString(16));
`;
const KERNELS_BY_FACTORY = KERNELS.replace(
  "{ size: 1 }",
  `{ size: 1, worker: () => new Worker(new URL("./kernel-worker.js", import.meta.url), { type: "module" }) }`,
);
const KERNEL_WORKER = `import "tidegate/workers/own.js";\n`;
const page = (script, more = "") =>
  `<!doctype html><title>stranger</title>${more}<script type="module" src="${script}"></script>`;

const EXPECTED = { main: "RESULT workers 49", kernels: "RESULT workers ba" };

let stranger;
let browser;

before(async () => {
  const files = {
    "main.js": MAIN,
    "my-worker.js": WORKER,
    "kernels.js": KERNELS,
    "kernels-by-factory.js": KERNELS_BY_FACTORY,
    "kernel-worker.js": KERNEL_WORKER,
    "main.html": page("./main.js"),
    "kernels.html": page("./kernels.js"),
    "kernels-by-factory.html": page("./kernels-by-factory.js"),
    "vite.config.js": `export default {
  build: { target: "es2022", rolldownOptions: { input: ["main.html", "kernels.html"] } },
  worker: { format: "es" },
  optimizeDeps: { exclude: ["tidegate"] },
};
`,
    "rollup.config.js": `import resolve from "@rollup/plugin-node-resolve";

export default {
  input: ["main.js", "my-worker.js", "kernels-by-factory.js", "kernel-worker.js"],
  output: { dir: "rollup", format: "es" },
  plugins: [resolve({ browser: true })],
};
`,
    "webpack.config.js": `export default {
  mode: "production",
  devtool: false,
  entry: { main: "./main.js", kernels: "./kernels.js" },
  output: { path: import.meta.dirname + "/webpack", filename: "[name].js" },
};
`,
  };
  stranger = await project(files, {
    vite: await ownVersion("vite"),
    webpack: "5.112.2",
    "webpack-cli": "7.3.1",
    rollup: "4.68.7",
    "@rollup/plugin-node-resolve": "16.0.3",
    parcel: "2.16.4",
    esbuild: "0.28.2",
  });
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await stranger?.remove();
});

const tool = (name, ...args) =>
  execute(process.execPath, [join(stranger.folder, "node_modules", name), ...args], {
    cwd: stranger.folder,
    timeout: 120_000,
    env: { ...process.env, NO_COLOR: "1" },
  });

test("a worker task runs in Chromium, built by Vite", async () => {
  await tool("vite/bin/vite.js", "build");
  await served("dist", async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, served by Vite's development server", async () => {
  await withVite(async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, built by webpack", async () => {
  await tool("webpack/bin/webpack.js");
  await writeFile(join(stranger.folder, "webpack/main.html"), page("./main.js"));
  await writeFile(join(stranger.folder, "webpack/kernels.html"), page("./kernels.js"));
  await served("webpack", async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, built by Rollup with the workers as entries", async () => {
  await tool("rollup/dist/bin/rollup", "--config");
  await writeFile(join(stranger.folder, "rollup/main.html"), page("./main.js"));
  await writeFile(join(stranger.folder, "rollup/kernels.html"), page("./kernels-by-factory.js"));
  await served("rollup", async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, built by Parcel, which is told to look at exports and to share nothing", async () => {
  const manifest = join(stranger.folder, "package.json");
  const told = {
    ...JSON.parse(await readFile(manifest, "utf8")),
    "@parcel/resolver-default": { packageExports: true },
    // What two workers share, Parcel 2.16 leaves out of both.
    "@parcel/bundler-default": { disableSharedBundles: true },
  };
  await writeFile(manifest, JSON.stringify(told));
  await tool("parcel/lib/bin.js", "build", "main.html", "kernels.html", "--dist-dir", "parcel", "--no-cache");
  await served("parcel", async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, built by esbuild with the workers as entries", async () => {
  const entries = ["main.js", "my-worker.js", "kernels-by-factory.js", "kernel-worker.js"];
  const flags = ["--bundle", "--format=esm", "--splitting", "--outdir=esbuild"];
  await execute(join(stranger.folder, "node_modules/.bin/esbuild"), [...entries, ...flags], {
    cwd: stranger.folder,
  });
  await writeFile(join(stranger.folder, "esbuild/main.html"), page("./main.js"));
  await writeFile(join(stranger.folder, "esbuild/kernels.html"), page("./kernels-by-factory.js"));
  await served("esbuild", async (url) => {
    assert.equal(await said(`${url}main.html`), EXPECTED.main);
    assert.equal(await said(`${url}kernels.html`), EXPECTED.kernels);
  });
});

test("a worker task runs in Chromium, with no bundler at all", async () => {
  const dist = "/node_modules/tidegate/dist";
  const imports = {
    "tidegate/workers": `${dist}/worker/index.js`,
    "#worker-inside": `${dist}/worker-inside/browser.js`,
    "#worker-platform": `${dist}/worker-platform/browser.js`,
    "#rate-module": `${dist}/rate-module/browser.js`,
    "#store-module": `${dist}/store-module/browser.js`,
  };
  const map = `<script type="importmap">${JSON.stringify({ imports })}</script>`;
  await writeFile(join(stranger.folder, "unbundled.html"), page("./unbundled.js", map));
  await writeFile(
    join(stranger.folder, "unbundled.js"),
    MAIN.replace("./my-worker.js", "./unbundled-worker.js"),
  );
  await writeFile(
    join(stranger.folder, "unbundled-worker.js"),
    WORKER.replace("tidegate/workers", `${dist}/worker/unbundled.js`),
  );
  await served(".", async (url) => assert.equal(await said(`${url}unbundled.html`), EXPECTED.main));
});

/** What a page says first that begins with RESULT; it must not fail meanwhile. */
async function said(url) {
  const opened = await browser.newPage();
  const failures = [];
  try {
    opened.on("pageerror", (error) => failures.push(error.message));
    opened.on("console", (message) => {
      if (message.type() === "error") failures.push(message.text());
    });
    await opened.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
    const first = opened.waitForEvent("console", {
      predicate: (message) => message.text().startsWith("RESULT"),
      timeout: 30_000,
    });
    await opened.goto(url);
    const message = await first.catch(() => undefined);
    assert.deepEqual(failures, []);
    return message?.text();
  } finally {
    await opened.close();
  }
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

/** Serves a folder of the project as static files. */
async function served(folder, use) {
  const base = join(stranger.folder, folder);
  const server = createServer((request, response) => {
    const path = join(base, normalize(new URL(request.url, "http://host").pathname));
    if (!path.startsWith(base) || !existsSync(path) || !statSync(path).isFile())
      return response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
    createReadStream(path).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function withVite(use) {
  const args = ["node_modules/vite/bin/vite.js", "dev", "--host", "127.0.0.1", "--port", "0"];
  const server = spawn(process.execPath, args, {
    cwd: stranger.folder,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  try {
    let heard = "";
    for await (const chunk of server.stdout) {
      heard += chunk;
      const [url] = heard.match(/http:\/\/127\.0\.0\.1:\d+\//) ?? [];
      if (url === undefined) continue;
      server.stdout.resume();
      return await use(url);
    }
    throw new Error(`Vite did not serve: ${heard}`);
  } finally {
    const ended = once(server, "exit");
    server.kill();
    await ended;
  }
}
