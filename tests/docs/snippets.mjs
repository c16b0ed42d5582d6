/**
 * The TypeScript examples of the documentation: those of the Markdown files and those of the doc comments.
 *
 * A block that begins with three backticks and `ts` is run. One that needs a page or the network says so with a word
 * after `ts` (`browser`, `network`), or `no-run` where it is a part of a program, and is only type-checked.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { root } from "../../setup/needs.mjs";

const MARKS = ["browser", "network", "no-run"];

/**
 * @typedef {object} Snippet
 * @property {string} place    The file and line it stands at.
 * @property {string} name     A file name made of that.
 * @property {string} code
 * @property {boolean} runs
 * @property {string[]} says   What it prints, by its own comments: `// → 3`, or `// → 1, 2, 3` where a loop does.
 */

/** Every Markdown file that speaks to a reader. */
export function markdown() {
  const atTheDoor = readdirSync(root).filter((name) => name.endsWith(".md"));
  const guides = readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name));
  return [...atTheDoor, ...guides].sort();
}

/** Every example, in the order of files and lines. */
export function snippets() {
  const sources = readdirSync(join(root, "js"), { recursive: true })
    .filter((name) => name.endsWith(".ts") && !name.startsWith("generated"))
    .map((name) => join("js", name))
    .sort();
  return [...markdown().flatMap(inMarkdown), ...sources.flatMap(inComments)];
}

function inMarkdown(file) {
  return blocks(file, readFileSync(join(root, file), "utf8").split("\n"));
}

/** The lines of doc comments without their stars; other lines stay, empty, so that places remain true. */
function inComments(file) {
  let inside = false;
  const lines = readFileSync(join(root, file), "utf8")
    .split("\n")
    .map((line) => {
      if (/^\s*\/\*\*/.test(line)) inside = true;
      const text = inside ? line.replace(/^\s*\*( |$)/, "") : "";
      if (line.includes("*/")) inside = false;
      return text;
    });
  return blocks(file, lines);
}

function blocks(file, lines) {
  const found = [];
  let open;
  for (const [at, line] of lines.entries()) {
    if (open === undefined) {
      const [, language, mark] = line.match(/^```(\S+)(?: (\S+))?$/) ?? [];
      if (language !== undefined) open = { language, mark, at, code: [] };
    } else if (line === "```") {
      if (open.language === "ts") found.push(snippet(file, open));
      open = undefined;
    } else open.code.push(line);
  }
  if (open !== undefined) throw new Error(`${file}:${open.at + 1}: the code block never ends`);
  return found;
}

/** @returns {Snippet} */
function snippet(file, { mark, at, code }) {
  const place = `${relative(root, join(root, file))}:${at + 1}`;
  if (mark !== undefined && !MARKS.includes(mark))
    throw new Error(`${place}: expected the mark to be one of ${MARKS.join(", ")}, got \`${mark}\``);
  return {
    place,
    name: place.replace(/[^a-zA-Z0-9]+/g, "-"),
    code: `${code.join("\n")}\nexport {};\n`,
    runs: mark === undefined,
    says: code.flatMap((line) => line.match(/\/\/ → (.*)$/)?.[1] ?? []),
  };
}
