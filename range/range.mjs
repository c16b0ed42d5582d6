// The range: every target of the catalogue on a port of its own, and the switches that move them.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import { CATALOGUE } from "./catalogue.mjs";
import { draw } from "./random.mjs";
import { REFERENCE_TOOLS, startReference } from "./reference.mjs";
import { LOOPBACK, Target } from "./target.mjs";

/** What a scan of the range does well to set: some of its targets never answer, and each would cost the full default. */
const SUGGESTED = { requestTimeout: 3000 };

/**
 * @typedef {object} RangeOptions
 * @property {number} [seed]        Same seed, same behaviour; default 1.
 * @property {number} [base]        First port; the targets take the ones after it, in order. Free ports by default.
 * @property {boolean} [reference]  Start the MCP reference server too; default true.
 *
 * @typedef {{ name: string, about: string, url: string, expect: import("./catalogue.mjs").Expectation }} Entry
 */

/**
 * Starts the range on loopback.
 *
 * @param {RangeOptions} [options]
 * @returns {Promise<Range>}
 */
export async function startRange(options = {}) {
  const range = new Range(options);
  try {
    await range.start();
  } catch (error) {
    await range.close();
    throw error;
  }
  return range;
}

export class Range {
  #seed;
  #base;
  #faults = false;
  #reference;
  #wantsReference;
  /** @type {Map<string, Target>} */
  #targets = new Map();
  /** @type {Entry[]} */
  #entries = [];

  /** @param {RangeOptions} options */
  constructor({ seed = 1, base = 0, reference = true }) {
    if (!Number.isInteger(seed)) throw new TypeError(`Expected \`seed\` to be an integer, got \`${seed}\``);
    if (!Number.isInteger(base) || base < 0 || base > 65_000)
      throw new TypeError(`Expected \`base\` to be a port up to 65000, got \`${base}\``);
    this.#seed = seed;
    this.#base = base;
    this.#wantsReference = reference;
  }

  async start() {
    const ports = portsFrom(this.#base);
    const surroundings = {
      seed: () => this.#seed,
      faultsOn: () => this.#faults,
      addressOf: (name) => this.#targets.get(name)?.url,
    };
    for (const definition of CATALOGUE) {
      const port = ports.next().value;
      this.#entries.push(...(await this.#raise(definition, port, surroundings)));
    }
    if (!this.#wantsReference) return;
    this.#reference = await startReference(ports.next().value);
    this.#entries.push({
      name: "mcp-reference",
      about: "The official MCP reference server",
      url: this.#reference.url,
      expect: {
        outcome: "answers",
        status: 400,
        headers: "safe",
        mcp: { tools: REFERENCE_TOOLS, resources: [], prompts: [] },
      },
    });
  }

  /** What is here and what to expect of it; the page and the tests read this as JSON. */
  index() {
    return { seed: this.#seed, faults: this.#faults, suggested: SUGGESTED, targets: this.#entries };
  }

  /** @param {string} name @returns {Target} */
  target(name) {
    const target = this.#targets.get(name);
    if (target === undefined)
      throw new RangeError(`The range has no target \`${name}\` whose behaviour can be set`);
    return target;
  }

  /** Address of an entry of the index. @param {string} name @returns {string} */
  url(name) {
    const entry = this.#entries.find((candidate) => candidate.name === name);
    if (entry === undefined) throw new RangeError(`The range has no target \`${name}\``);
    return entry.url;
  }

  get faults() {
    return this.#faults;
  }

  /** Turns the range's faults on or off: targets with a `whenFaulty` begin or cease to fail. */
  set faults(on) {
    this.#faults = on;
  }

  /** The process of the reference server, for those who must see it end. */
  get referencePid() {
    return this.#reference?.pid;
  }

  /** Every target as the catalogue has it, every count at zero, faults off; and another seed, if one is given. */
  reset(seed = this.#seed) {
    this.#seed = seed;
    this.#faults = false;
    for (const target of this.#targets.values()) target.reset();
  }

  /** How each target stands now. */
  state() {
    const targets = [...this.#targets.values()].map(({ name, hits, openSessions, behaviour }) => ({
      name,
      hits,
      openSessions,
      behaviour,
    }));
    return { seed: this.#seed, faults: this.#faults, targets };
  }

  async close() {
    await Promise.all([
      ...[...this.#targets.values()].map((target) => target.close()),
      this.#reference?.close(),
    ]);
  }

  async #raise(definition, port, surroundings) {
    const { name, about, expect, paths } = definition;
    if (definition.listens === "nothing") {
      const silent = port === 0 ? await silentPort(this.#seed) : port;
      return [{ name, about, url: `http://${LOOPBACK}:${silent}/${name}`, expect }];
    }
    const target = new Target(definition, surroundings);
    try {
      await target.listen(port);
    } catch (error) {
      throw new Error(`Target \`${name}\` cannot listen on port ${port}: ${error.code ?? error.message}`);
    }
    this.#targets.set(name, target);
    if (paths === undefined) return [{ name, about, url: target.url, expect }];
    return paths.map((path) => ({ name: path.slice(1), about, url: new URL(path, target.url).href, expect }));
  }
}

/** Ports that browsers refuse to talk to (https://fetch.spec.whatwg.org/#port-blocking), above 1023. */
const BLOCKED = new Set([
  1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697,
  10080,
]);

function* portsFrom(base) {
  for (let port = base; ; port += base === 0 ? 0 : 1) {
    if (!BLOCKED.has(port)) yield port;
  }
}

/** A port below the system's ephemeral ones, so that nobody is given it by chance, on which nobody answers. */
async function silentPort(seed) {
  for (let attempt = 0; ; attempt += 1) {
    const port = 20_000 + Math.floor(draw(seed, "silent", attempt) * 10_000);
    if (!(await answers(port)) && (await isFree(port))) return port;
  }
}

async function answers(port) {
  const socket = connect(port, LOOPBACK);
  const answered = await new Promise((resolve) => {
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
  });
  socket.destroy();
  return answered;
}

async function isFree(port) {
  const probe = createServer();
  const free = await new Promise((resolve) => {
    probe.once("error", () => resolve(false));
    probe.listen(port, LOOPBACK, () => resolve(true));
  });
  if (free) {
    probe.close();
    await once(probe, "close");
  }
  return free;
}
