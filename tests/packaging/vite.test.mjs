import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { launchChromium } from "../chromium.mjs";
import { execute, ownVersion, project, readmeSnippet } from "./packed.mjs";

let stranger;
let browser;

before(async () => {
  const { language, code } = await readmeSnippet("ts", "js");
  const script = `main.${language}`;
  const page = `<!doctype html><title>stranger</title><script type="module" src="/${script}"></script>`;
  stranger = await project({ "index.html": page, [script]: code }, { vite: await ownVersion("vite") });
  browser = await launchChromium();
});
after(async () => {
  await browser?.close();
  await stranger?.remove();
});

const vite = "node_modules/vite/bin/vite.js";

test("the README's first snippet runs unedited in Chromium, served by `vite build` and `vite preview`", async () => {
  await execute(process.execPath, [vite, "build"], { cwd: stranger.folder });
  await withServer(["preview"], runsCleanly);
});

test("the README's first snippet runs unedited in Chromium, served by `vite dev`", async () => {
  await withServer(["dev"], runsCleanly);
});

/** The page must say something and must not fail: a snippet that shows nothing shows nothing. */
async function runsCleanly(url) {
  const page = await browser.newPage();
  const said = [];
  const failures = [];
  page.on("console", (message) => {
    if (message.type() === "error") failures.push(message.text());
    else if (!message.text().startsWith("[vite]")) said.push(message.text());
  });
  page.on("pageerror", (error) => failures.push(error.message));
  // A favicon is asked for by the browser, not by the snippet.
  await page.route("**/favicon.ico", (route) => route.fulfill({ status: 204 }));
  const first = page.waitForEvent("console", {
    predicate: (message) => !message.text().startsWith("[vite]"),
    timeout: 20_000,
  });
  await page.goto(url);
  await first.catch(() => {});
  await page.waitForTimeout(500); // a failure that follows the first words is a failure too
  await page.close();
  assert.deepEqual(failures, []);
  assert.ok(said.length > 0, "the snippet printed nothing");
}

async function withServer(command, use) {
  const server = spawn(process.execPath, [vite, ...command, "--port", "0", "--host", "127.0.0.1"], {
    cwd: stranger.folder,
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  try {
    let said = "";
    for await (const chunk of server.stdout) {
      said += chunk;
      const [url] = said.match(/http:\/\/127\.0\.0\.1:\d+\//) ?? [];
      if (url) {
        server.stdout.resume();
        await use(url);
        return;
      }
    }
    throw new Error(`Vite did not serve: ${said}`);
  } finally {
    const ended = once(server, "exit");
    server.kill();
    await ended;
  }
}
