/**
 * Real workerd around a worker: linked with the package, started on a free port, ended with the test.
 */

import { spawn } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../setup/needs.mjs";
import { atExit, killGroup, run } from "../../setup/step.mjs";
import { link } from "../conformance/bundle.mjs";
import { ASSETS } from "./assets.mjs";
import { DELIVERS } from "./queue.mjs";

const binary = join(root, "tests/node_modules/.bin/workerd");
/** What a worker of today writes into its configuration. */
export const CURRENT = "2026-11-01";

/** The version, or undefined where workerd does not start. */
export async function version() {
  const { code, output } = await run(binary, ["--version"], { quiet: true });
  return code === 0 ? output.trim().replace(/^workerd /, "") : undefined;
}

/**
 * Links an entry, whose imports are looked up beside the conformance cases, and starts it: `isolates` times, which share the Durable
 * Objects of the classes named `objects`, whose bindings have the classes' names. Everything they fetch goes to the address `outside`,
 * if there is one, whatever its host; else to the networks it `reaches`. The files of the folder `assets` are bound as `ASSETS`. A `queue` is bound as `SCAN_QUEUE`, and its messages go to the isolates in turn. Gives the address of each
 * isolate, anew after `restart()`, which kills the process and starts another on the same disk.
 */
export async function serve(
  name,
  entry,
  {
    date = CURRENT,
    flags = [],
    isolates = 1,
    objects = [],
    vars = {},
    outside,
    reaches = ["public", "private"],
    assets,
    queue,
    port = 0,
    before,
  } = {},
) {
  const { folder, wasm } = await link(name, entry, ["workerd", "worker", "import"], before);
  const config = join(folder, "config.capnp");
  const disk = join(folder, "objects");
  rmSync(disk, { recursive: true, force: true });
  mkdirSync(disk);
  const sendsTo = await queue?.listen();
  writeFileSync(
    config,
    capnp({ wasm, date, flags, isolates, objects, vars, outside, reaches, assets, sendsTo, port, disk }),
  );
  let running = await start(config, isolates, queue);
  return {
    get url() {
      return running.urls[0];
    },
    get urls() {
      return running.urls;
    },
    said: () => running.said(),
    async restart() {
      running.stop();
      running = await start(config, isolates, queue);
    },
    stop() {
      running.stop();
      queue?.close();
    },
  };
}

function capnp({
  wasm,
  date,
  flags,
  isolates,
  objects,
  vars,
  outside,
  reaches,
  assets,
  sendsTo,
  port,
  disk,
}) {
  const modules = [
    `(name = "main.js", esModule = embed "main.js")`,
    ...wasm.map((file) => `(name = "${file}", wasm = embed "${file}")`),
  ];
  const text = JSON.stringify;
  const bindings = [
    ...(sendsTo === undefined ? [] : ['(name = "SCAN_QUEUE", queue = "queue")']),
    ...(assets === undefined ? [] : ['(name = "ASSETS", service = "assets")']),
    ...objects.map(
      (each) =>
        `(name = ${text(each)}, durableObjectNamespace = (className = ${text(each)}, serviceName = "objects"))`,
    ),
    ...Object.entries(vars).map(([key, value]) => `(name = ${text(key)}, text = ${text(value)})`),
  ];
  const worker = (more) => `(
  modules = [${modules.join(", ")}],
  compatibilityDate = "${date}",
  compatibilityFlags = ${text(flags)},
  bindings = [${bindings.join(", ")}],${more}
)`;
  const numbers = Array.from({ length: isolates }, (_, index) => index);
  const socket = (at) => `address = "127.0.0.1:${at}", http = ()`;
  const namespaces = objects.map(
    (each) => `(className = ${text(each)}, uniqueKey = ${text(each)}, enableSql = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ${numbers.map((index) => `(name = "main${index}", worker = .main),`).join(" ")}
    (name = "objects", worker = .objects),
    (name = "disk", disk = (path = ${text(disk)}, writable = true)),
    (name = "internet", ${
      outside === undefined
        ? `network = (allow = [${reaches.map(text).join(", ")}])`
        : `external = (address = ${text(outside)}, http = ())`
    }),${
      sendsTo === undefined
        ? ""
        : `
    (name = "queue", external = (address = ${text(sendsTo)}, http = ())),
    (name = "delivers", worker = .delivers),`
    }${
      assets === undefined
        ? ""
        : `
    (name = "files", disk = (path = ${text(assets)})),
    (name = "assets", worker = .assets),`
    }
  ],
  sockets = [${[
    ...numbers.map(
      (index) => `(name = "http${index}", ${socket(index === 0 ? port : 0)}, service = "main${index}")`,
    ),
    ...(sendsTo === undefined ? [] : [`(name = "delivers", ${socket(0)}, service = "delivers")`]),
  ].join(", ")}],
);
const delivers :Workerd.Worker = (
  modules = [(name = "main.js", esModule = ${text(DELIVERS)})],
  compatibilityDate = "${CURRENT}",
  compatibilityFlags = ["service_binding_extra_handlers"],
  bindings = [${numbers.map((index) => `(name = "MAIN${index}", service = "main${index}")`).join(", ")}],
);
const assets :Workerd.Worker = (
  modules = [(name = "main.js", esModule = ${text(ASSETS)})],
  compatibilityDate = "${CURRENT}",
  bindings = [${assets === undefined ? "" : '(name = "FILES", service = "files")'}],
);
const main :Workerd.Worker = ${worker("")};
const objects :Workerd.Worker = ${worker(`
  durableObjectNamespaces = [${namespaces.join(", ")}],
  durableObjectStorage = (localDisk = "disk"),`)};
`;
}

/** Starts workerd on free ports, which it tells on its control channel. */
async function start(config, isolates, queue) {
  // The event of a queue can only be sent by a binding that is still an experiment.
  const child = spawn(binary, ["serve", config, "--control-fd=3", ...(queue ? ["--experimental"] : [])], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const forget = atExit(() => killGroup(child));
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += chunk));
  const stop = () => {
    killGroup(child);
    forget();
  };
  try {
    const told = await new Promise((resolve, reject) => {
      let control = "";
      child.stdio[3].on("data", (chunk) => {
        control += chunk;
        const told = new Map(
          [...control.matchAll(/"event":\s*"listen".*?"socket":\s*"(\w+)".*?"port":\s*(\d+)/g)].map(
            ([, socket, port]) => [socket, `http://127.0.0.1:${port}`],
          ),
        );
        if (told.size === isolates + (queue === undefined ? 0 : 1)) resolve(told);
      });
      child.once("exit", (code) => reject(new Error(`it ended with ${code}`)));
      child.once("error", reject);
    });
    queue?.deliverTo(told.get("delivers"), isolates);
    const urls = Array.from({ length: isolates }, (_, index) => told.get(`http${index}`));
    return { urls, said: () => said.slice(-4000), stop };
  } catch (error) {
    stop();
    error.message += `\nworkerd said: ${said.slice(-4000)}`;
    throw error;
  }
}
