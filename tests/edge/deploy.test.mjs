/** What is deployed: the configuration names what the worker has, and the README's commands are those it takes. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const worker = read("edge/worker.js");
const config = JSON.parse(read("edge/wrangler.jsonc").replace(/^\s*\/\/.*$/gm, ""));

test("every class of a binding is exported by the worker, and has its storage", () => {
  const classes = config.durable_objects.bindings.map((binding) => binding.class_name);
  const [, exported] = /^export \{ (.*) \} from "tidegate\/edge";$/m.exec(worker);
  assert.deepEqual(exported.split(", ").sort(), [...classes].sort());
  assert.deepEqual(
    config.migrations.flatMap((migration) => migration.new_sqlite_classes).sort(),
    classes.sort(),
  );
  for (const { name } of config.durable_objects.bindings)
    assert.match(worker, new RegExp(`env\\.${name}\\b`));
});

test("deploying is three commands: the queue, the worker, who may ask", () => {
  const [, commands] = /### Deploy to Cloudflare\n\n```sh\n(.*?)\n```/s.exec(read("README.md"));
  const { producers, consumers } = config.queues;
  assert.deepEqual(commands.split("\n"), [
    `npx wrangler queues create ${producers[0].queue}`,
    "npx wrangler deploy --config edge/wrangler.jsonc",
    "npx wrangler secret put TOKENS --config edge/wrangler.jsonc",
  ]);
  assert.equal(producers[0].binding, "SCAN_QUEUE");
  assert.equal(consumers[0].queue, producers[0].queue);
  // What the first command of a fresh clone would have to do otherwise.
  assert.equal(config.build.command, "npm run build");
});
