// Everything known of one target: findings with evidence and remediation, what each plugin saw, and when it ran.

import type { Finding, Json, PluginResult, Severity } from "tidegate/scan";
import type { Row } from "./board.js";
import { build } from "./build.js";
import { duration, plural } from "./figures.js";
import { foreign, foreignLine } from "./foreign.js";
import { pluginTitle } from "./plugins.js";

const ORDER: readonly Severity[] = ["critical", "high", "medium", "low", "info"];

export class Detail {
  #frame: HTMLElement;
  #row: Row | undefined;
  #shown = -1;
  #closed: () => void;

  /** @param closed  Called when the reader closes the view, so that focus can go back to where it came from. */
  constructor(frame: HTMLElement, closed: () => void) {
    this.#frame = frame;
    this.#closed = closed;
    frame.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    this.#rest();
  }

  get isOpen(): boolean {
    return this.#row !== undefined;
  }

  open(row: Row): void {
    this.#row = row;
    this.#shown = -1;
    this.#frame.dataset.open = "";
    this.refresh();
    this.#frame.scrollTop = 0;
  }

  close(): void {
    if (this.#row === undefined) return;
    this.clear();
    this.#closed();
  }

  clear(): void {
    this.#row = undefined;
    delete this.#frame.dataset.open;
    this.#rest();
  }

  /** Draws again if results have come since; where the reader has scrolled to stays. */
  refresh(): void {
    if (this.#row === undefined || this.#row.results.size === this.#shown) return;
    this.#shown = this.#row.results.size;
    const { scrollTop } = this.#frame;
    const hadFocus = this.#frame.contains(document.activeElement) && document.activeElement !== this.#frame;
    this.#frame.replaceChildren(...draw(this.#row, () => this.close()));
    this.#frame.scrollTop = scrollTop;
    if (hadFocus) this.#frame.focus({ preventScroll: true });
  }

  #rest(): void {
    this.#frame.replaceChildren(
      build("p", {
        class: "detail-empty",
        text: "Choose a target to see its findings, evidence and timings.",
      }),
    );
  }
}

function draw(row: Row, close: () => void): Node[] {
  const results = [...row.results.values()];
  const findings = results
    .flatMap((result) => result.findings)
    .sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const button = build("button", { class: "detail-close", text: "Close", attributes: { type: "button" } });
  button.addEventListener("click", close);
  return [
    build(
      "header",
      { class: "detail-head" },
      build("h3", {}, build("bdi", { text: foreignLine(row.target, 400) })),
      button,
    ),
    ...findingsPart(findings, row.done),
    ...results.map(runPart),
    timings(results),
  ];
}

/** Findings of severity `info` ask nothing of anybody: they are counted as notes, as the list does not count them either. */
function findingsPart(findings: readonly Finding[], done: boolean): Node[] {
  const notes = findings.filter((finding) => finding.severity === "info").length;
  const count = [plural(findings.length - notes, "finding"), plural(notes, "note")];
  const heading = build("h4", { text: notes === 0 ? (count[0] ?? "") : count.join(", ") });
  if (findings.length === 0)
    return [heading, build("p", { class: "quiet", text: done ? "None." : "None so far." })];
  return [heading, build("ul", { class: "findings" }, ...findings.map(findingItem))];
}

function findingItem(finding: Finding): HTMLElement {
  const item = build(
    "li",
    { class: "finding" },
    build(
      "p",
      { class: "finding-title" },
      badge(finding.severity),
      build("bdi", { text: foreignLine(finding.title, 300) }),
    ),
  );
  if (finding.evidence !== "")
    item.append(build("pre", { class: "evidence" }, build("bdi", { text: foreign(finding.evidence) })));
  if (finding.remediation !== "")
    item.append(build("p", { class: "remediation", text: foreign(finding.remediation) }));
  const source = [pluginTitle(finding.plugin), foreignLine(finding.id), foreignLine(finding.vector ?? "")];
  item.append(build("p", { class: "quiet small", text: source.filter((part) => part !== "").join(" · ") }));
  return item;
}

function badge(severity: Severity): HTMLElement {
  return build("span", { class: "badge", text: severity, data: { severity } });
}

function runPart(result: PluginResult): HTMLElement {
  const part = build(
    "section",
    { class: "run" },
    build(
      "h4",
      {},
      pluginTitle(result.plugin),
      " ",
      build("span", { class: "run-status", text: result.status, data: { status: result.status } }),
    ),
  );
  if (result.summary !== "")
    part.append(build("p", {}, build("bdi", { text: foreignLine(result.summary, 400) })));
  if (result.error !== null)
    part.append(build("p", { class: "run-error" }, build("bdi", { text: foreign(result.error) })));
  if (result.details !== null) part.append(facts(result.details));
  return part;
}

/** Any details as names and values: what a plugin adds tomorrow is shown without a change here. */
function facts(details: { [key: string]: Json }): HTMLElement {
  const list = build("dl", { class: "facts" });
  for (const [name, value] of Object.entries(details)) {
    if (isNothing(value)) continue;
    list.append(build("dt", { text: words(name) }), build("dd", {}, shape(value)));
  }
  return list;
}

const MOST = 200;

function shape(value: Json): Node {
  if (value === null) return build("span", { class: "quiet", text: "none" });
  if (Array.isArray(value)) return several(value);
  if (typeof value === "object") return facts(value);
  const text =
    typeof value === "boolean"
      ? value
        ? "yes"
        : "no"
      : typeof value === "number"
        ? rounded(value)
        : foreign(value);
  return build("bdi", { text });
}

function several(values: Json[]): Node {
  if (values.every((value) => typeof value !== "object" || value === null)) {
    return build("bdi", {
      text: values
        .slice(0, MOST)
        .map((value) => (typeof value === "number" ? rounded(value) : foreign(String(value), 200)))
        .join(", "),
    });
  }
  const list = build("ul", { class: "things" });
  for (const value of values.slice(0, MOST)) list.append(build("li", {}, thing(value)));
  if (values.length > MOST)
    list.append(build("li", { class: "quiet", text: `and ${values.length - MOST} more` }));
  return list;
}

/** An object that has a name is shown under it, with its description; the rest folds away. */
function thing(value: Json): Node {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return shape(value);
  const key = ["name", "uri", "uriTemplate", "id"].find((candidate) => typeof value[candidate] === "string");
  if (key === undefined) return facts(value);
  const { [key]: name, description, ...rest } = value;
  const block = build(
    "div",
    { class: "thing" },
    build("bdi", { class: "thing-name", text: foreignLine(String(name)) }),
  );
  if (typeof description === "string" && description !== "")
    block.append(build("p", { class: "quiet" }, build("bdi", { text: foreignLine(description, 400) })));
  if (Object.values(rest).some((member) => !isNothing(member))) {
    block.append(build("details", {}, build("summary", { text: "more" }), facts(rest)));
  }
  return block;
}

function isNothing(value: Json): boolean {
  return (
    value === null ||
    value === "" ||
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0)
  );
}

function rounded(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(2);
}

/** `finalUrl` reads as `final url`. */
function words(name: string): string {
  return foreignLine(name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase(), 60);
}

function timings(results: readonly PluginResult[]): HTMLElement {
  const begun = results.filter((result) => result.duration !== null);
  const from = Math.min(...begun.map((result) => result.start));
  const span = Math.max(1, ...begun.map((result) => result.start + (result.duration ?? 0) - from));
  const body = results.map((result) => {
    const bar = build("span", { class: "span-bar" });
    if (result.duration === null) bar.hidden = true;
    bar.style.marginInlineStart = `${(100 * (result.start - from)) / span}%`;
    bar.style.inlineSize = `${Math.max(1, (100 * (result.duration ?? 0)) / span)}%`;
    return build(
      "tr",
      {},
      build("th", { text: pluginTitle(result.plugin), attributes: { scope: "row" } }),
      build("td", { class: "num", text: duration(result.waited) }),
      build("td", { class: "num", text: duration(result.duration) }),
      build("td", { class: "span-track" }, bar),
    );
  });
  const head = ["Timings", "waited", "ran"].map((text) =>
    build("th", { text, attributes: { scope: "col" } }),
  );
  return build(
    "table",
    { class: "timings" },
    build("thead", {}, build("tr", {}, ...head, build("td", {}))),
    build("tbody", {}, ...body),
  );
}
