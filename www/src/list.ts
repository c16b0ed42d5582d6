// The list of targets. Only the rows in sight exist as elements, so a list of fifty thousand costs what one of fifty does.

import type { PluginResult } from "tidegate/scan";
import { type Board, type Filter, failed, type Row, unreachable } from "./board.js";
import { build, say } from "./build.js";
import { duration, plural } from "./figures.js";
import { foreignLine } from "./foreign.js";
import { pluginShort, pluginTitle } from "./plugins.js";

/** Height of a row in pixels; the style sheet says the same. */
const ROW = 46;
/** Rows made beyond each edge of what is in sight. */
const MARGIN = 6;

const MARKS: Record<string, string> = {
  ok: "●",
  error: "✕",
  timeout: "◷",
  unreachable: "✕",
  skipped: "–",
  cancelled: "○",
};

export interface ListParts {
  list: HTMLElement;
  rows: HTMLElement;
  head: HTMLElement;
  empty: HTMLElement;
}

export class List {
  #parts: ListParts;
  #board: Board;
  #choose: (row: Row) => void;
  #filter: Filter = "all";
  #shown: readonly Row[] = [];
  #elements = new Map<number, HTMLElement>();
  /** The row the keyboard stands on, by its index on the board. */
  #current: number | undefined;
  #waiting = 0;

  constructor(parts: ListParts, board: Board, choose: (row: Row) => void) {
    this.#parts = parts;
    this.#board = board;
    this.#choose = choose;
    parts.list.addEventListener("scroll", () => this.#paint(), { passive: true });
    parts.list.addEventListener("keydown", (event) => this.#press(event));
    parts.rows.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => this.#paint()).observe(parts.list);
  }

  set filter(filter: Filter) {
    this.#filter = filter;
    this.#parts.list.scrollTop = 0;
    this.refresh();
  }

  /** Begins anew with the rows the board has now. */
  begin(): void {
    this.#current = undefined;
    this.#elements.clear();
    this.#parts.rows.replaceChildren();
    this.#parts.list.scrollTop = 0;
    const columns = this.#board.plugins.map((name) => build("span", { text: pluginShort(name) }));
    this.#parts.head.replaceChildren(
      build("span", { text: "Target and answer" }),
      build("span", { class: "cells" }, ...columns),
      build("span", { class: "col-end", text: "Findings" }),
      build("span", { class: "col-end", text: "Time" }),
    );
    this.refresh();
  }

  /** Shows what has changed on the board, at most once a frame. */
  refresh(): void {
    if (this.#waiting !== 0) return;
    this.#waiting = requestAnimationFrame(() => {
      this.#waiting = 0;
      this.#shown = this.#board.visible(this.#filter);
      this.#parts.rows.style.height = `${this.#shown.length * ROW}px`;
      const empty = this.#shown.length === 0;
      this.#parts.empty.hidden = !empty;
      if (empty)
        say(
          this.#parts.empty,
          this.#board.rows.length === 0
            ? "Results appear here as they come."
            : "Nothing of this kind so far.",
        );
      this.#paint();
    });
  }

  #paint(): void {
    const { list } = this.#parts;
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - MARGIN);
    const last = Math.min(this.#shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + MARGIN);
    const kept = new Set<number>();
    for (let position = first; position < last; position += 1) kept.add(this.#draw(position));
    const current = this.#positionOf(this.#current);
    // The current row stays wherever it is: `aria-activedescendant` points at it.
    if (current !== undefined && (current < first || current >= last)) kept.add(this.#draw(current));
    for (const [index, element] of this.#elements) {
      if (kept.has(index)) continue;
      element.remove();
      this.#elements.delete(index);
    }
    if (this.#current !== undefined && kept.has(this.#current))
      list.setAttribute("aria-activedescendant", rowId(this.#current));
    else list.removeAttribute("aria-activedescendant");
  }

  /** @returns the row's index on the board, by which its element is known. */
  #draw(position: number): number {
    const row = this.#shown[position];
    if (row === undefined) return -1;
    let element = this.#elements.get(row.index);
    if (element === undefined) {
      element = makeRow(row, this.#board.plugins);
      this.#elements.set(row.index, element);
      this.#parts.rows.append(element);
    }
    element.style.transform = `translateY(${position * ROW}px)`;
    element.setAttribute("aria-posinset", String(position + 1));
    element.setAttribute("aria-setsize", String(this.#shown.length));
    element.setAttribute("aria-selected", String(row.index === this.#current));
    fillRow(element, row, this.#board.plugins);
    return row.index;
  }

  /** Rows are shown in the board's order, whatever the filter, so the search can halve its way. */
  #positionOf(index: number | undefined): number | undefined {
    if (index === undefined) return undefined;
    let low = 0;
    let high = this.#shown.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const at = this.#shown[middle]?.index ?? 0;
      if (at === index) return middle;
      if (at < index) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  #press(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.#parts.list.clientHeight / ROW) - 1);
    const here = this.#positionOf(this.#current) ?? -1;
    const to = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      PageDown: here + page,
      PageUp: here - page,
      Home: 0,
      End: this.#shown.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.#moveTo(Math.min(this.#shown.length - 1, Math.max(0, to)));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const row = this.#shown[Math.max(0, here)];
      if (row === undefined) return;
      this.#moveTo(Math.max(0, here));
      this.#choose(row);
    }
  }

  #click(event: MouseEvent): void {
    const element = event.target instanceof Element ? event.target.closest<HTMLElement>("[data-row]") : null;
    const row = this.#board.rows[Number(element?.dataset.row ?? -1)];
    if (row === undefined) return;
    this.#current = row.index;
    this.#paint();
    this.#choose(row);
  }

  #moveTo(position: number): void {
    const row = this.#shown[position];
    if (row === undefined) return;
    this.#current = row.index;
    const { list } = this.#parts;
    const top = position * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    this.#paint();
  }
}

function rowId(index: number): string {
  return `row-${index}`;
}

function makeRow(row: Row, plugins: readonly string[]): HTMLElement {
  const cells = plugins.map((name) => build("span", { class: "cell", text: "·", title: pluginTitle(name) }));
  return build(
    "div",
    { class: "row", id: rowId(row.index), attributes: { role: "option" }, data: { row: String(row.index) } },
    build(
      "span",
      { class: "row-words" },
      build(
        "bdi",
        { class: "row-target", title: foreignLine(row.target, 400) },
        ...headAndTail(foreignLine(row.target)),
      ),
      build("bdi", { class: "row-summary" }),
    ),
    build("span", { class: "cells" }, ...cells),
    build("span", { class: "row-findings num" }),
    build("span", { class: "row-time num" }),
  );
}

/** Where there is not room for all of it, the head gives way: targets of one host are told apart by their ends. */
function headAndTail(line: string): HTMLElement[] {
  const characters = [...line];
  const tail = characters.splice(-TAIL, characters.length > 2 * TAIL ? TAIL : 0);
  return [build("span", { text: characters.join("") }), build("span", { text: tail.join("") })];
}

/** How many characters at the end of a target are always seen. */
const TAIL = 12;

function fillRow(element: HTMLElement, row: Row, plugins: readonly string[]): void {
  const [named, cells, findings, time] = element.children as unknown as HTMLElement[];
  const summary = named?.lastElementChild as HTMLElement | undefined;
  if (summary === undefined || cells === undefined || findings === undefined || time === undefined) return;
  const line = summaryOf(row);
  say(summary, line);
  plugins.forEach((name, index) => {
    const cell = cells.children[index] as HTMLElement | undefined;
    const status = statusOf(row.results.get(name));
    if (cell === undefined || cell.dataset.status === status) return;
    cell.dataset.status = status;
    cell.textContent = MARKS[status] ?? "·";
    cell.title = `${pluginTitle(name)}: ${status}`;
  });
  say(findings, row.findings > 0 ? String(row.findings) : row.done ? "0" : "");
  element.dataset.worst = row.worst ?? "none";
  const spent = spentOn(row);
  say(time, spent === 0 ? "" : duration(spent));
  const label = `${foreignLine(row.target)}. ${line}. ${plural(row.findings, "finding")}${row.worst === null ? "" : `, worst ${row.worst}`}. ${row.results.size} of ${plugins.length} runs done.`;
  if (element.getAttribute("aria-label") !== label) element.setAttribute("aria-label", label);
}

/** How a run ended, as a reader sees it: a probe that learns that nobody answers has not gone well for the target. */
function statusOf(result: PluginResult | undefined): string {
  if (result === undefined) return "pending";
  return unreachable(result) ? "unreachable" : result.status;
}

/** One line for the list: what the HTTP probe learned, or the MCP server offers, or what went wrong. */
function summaryOf(row: Row): string {
  if (row.results.size === 0) return "waiting";
  const probe = row.results.get("http-probe");
  if (probe !== undefined && unreachable(probe))
    return foreignLine(String(probe.details?.reason ?? probe.summary));
  const told = [
    "mcp-introspect",
    "http-probe",
    "security-headers",
    "port-probe",
    "cors-policy",
    "content-secrets",
  ]
    .map((plugin) => row.results.get(plugin)?.summary ?? "")
    .find((summary) => summary !== "");
  const failure = [...row.results.values()].find((result) => failed(result.status));
  return foreignLine(told ?? failure?.error ?? "");
}

/** From the first run's start to the last one's end. */
function spentOn(row: Row): number {
  let start = Infinity;
  let end = 0;
  for (const result of row.results.values()) {
    if (result.duration === null) continue;
    start = Math.min(start, result.start);
    end = Math.max(end, result.start + result.duration);
  }
  return Math.max(0, end - start);
}
