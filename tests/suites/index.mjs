/**
 * Every suite of `npm test`, in the order they run: what is cheap and likely to fail comes first.
 */

import { format, lint, types } from "./checks.mjs";
import { conformance } from "./conformance.mjs";
import { docs, edge, javascript, packaging, page } from "./javascript.mjs";
import { rustDocs, rustHost, rustWasm, simulation } from "./rust.mjs";

/**
 * @typedef {object} Suite
 * @property {string} name
 * @property {string} what                 One line about it.
 * @property {boolean} [isQuick]           Part of `npm run check`.
 * @property {object[]} [needs]            See setup/needs.mjs.
 * @property {(tally: import("../tally.mjs").Tally) => Promise<void>} run
 */

/** @type {Suite[]} */
export const suites = [
  format,
  lint,
  types,
  rustHost,
  rustDocs,
  rustWasm,
  simulation,
  javascript,
  docs,
  ...conformance,
  edge,
  page,
  packaging,
];
