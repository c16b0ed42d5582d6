// The form, read once and whole: either a scan that can begin or what is wrong with each field.

import type { Mode, PluginName, ScanOptions } from "tidegate/scan";
import { build, part, say } from "./build.js";
import { plural } from "./figures.js";
import { foreignLine } from "./foreign.js";
import { PLUGIN_NAMES, PLUGINS } from "./plugins.js";

const TARGETS_HINT =
  "URLs, hosts, host:port or host:8000-8010, separated by lines, spaces or commas. # begins a comment.";
const SETTINGS_HINT = "Workers: plugins at once on one target. Timeout: of one request.";
const EDGE_HINT = "The edge worker scans passively, with limits of its own.";

/** What the form asks for. */
export interface Order {
  /** The whole text: the engine reads it line by line, and knows which line was wrong. */
  targets: [string];
  options: ScanOptions & { plugins: PluginName[]; mode: Mode; maxWorkers: number; requestTimeout: number };
}

export interface BadTarget {
  input: string;
  message: string;
  line: number | null;
}

export class Form {
  #form = part("form", HTMLFormElement);
  #targets = part("targets", HTMLTextAreaElement);
  #count = part("target-count", HTMLElement);
  #note = part("targets-note", HTMLElement);
  #settings = part("settings-note", HTMLElement);
  #workers = part("max-workers", HTMLInputElement);
  #timeout = part("request-timeout", HTMLInputElement);
  #boxes = new Map<PluginName, HTMLInputElement>();
  #isEdge = false;

  constructor(submit: () => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    this.#targets.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
    });
    this.#targets.addEventListener("input", () => this.#countLines());
    this.#form.addEventListener("change", () => this.follow());
    this.#lay();
    this.follow();
    this.clearNotes();
  }

  /** Fills the fields in; the reader has not touched them yet. */
  fill(targets: readonly string[], requestTimeout?: number): void {
    if (this.#targets.value !== "") return;
    this.#targets.value = targets.join("\n");
    if (requestTimeout !== undefined) this.#timeout.value = String(requestTimeout / 1000);
    this.#countLines();
  }

  /** @returns `undefined` after saying what is wrong, the first wrong field in focus. */
  read(): Order | undefined {
    this.clearNotes();
    const text = this.#targets.value;
    const maxWorkers = this.#workers.valueAsNumber;
    const seconds = this.#timeout.valueAsNumber;
    const mode: Mode = this.#mode();
    const plugins = PLUGIN_NAMES.filter(
      (name) => this.#boxes.get(name)?.checked === true && allowed(name, mode),
    );
    if (lines(text) === 0)
      return this.#refuse(
        this.#targets,
        this.#note,
        "No target yet: write at least one, such as https://example.com",
      );
    if (plugins.length === 0)
      return this.#refuse(
        [...this.#boxes.values()].find((box) => !box.disabled),
        this.#settings,
        "Choose at least one plugin.",
      );
    if (!Number.isInteger(maxWorkers) || maxWorkers < 1 || maxWorkers > 100) {
      return this.#refuse(
        this.#workers,
        this.#settings,
        `Max workers must be a whole number from 1 to 100, not ${shown(this.#workers)}.`,
      );
    }
    if (!(seconds >= 0.1 && seconds <= 300)) {
      return this.#refuse(
        this.#timeout,
        this.#settings,
        `The timeout must be from 0.1 to 300 seconds, not ${shown(this.#timeout)}.`,
      );
    }
    return {
      targets: [text],
      options: { plugins, mode, maxWorkers, requestTimeout: Math.round(seconds * 1000) },
    };
  }

  /** Names every line that is no target; the others are being scanned. */
  showBad(bad: readonly BadTarget[]): void {
    if (bad.length === 0) return;
    const items = bad
      .slice(0, 100)
      .map(({ line, message }) =>
        build(
          "li",
          {},
          build("b", { text: line === null ? "" : `Line ${line}: ` }),
          build("bdi", { text: foreignLine(message, 300) }),
        ),
      );
    if (bad.length > 100) items.push(build("li", { text: `and ${bad.length - 100} more` }));
    this.#note.replaceChildren(
      build("p", { text: `${plural(bad.length, "line is", "lines are")} no target; the rest is scanned:` }),
      build("ul", {}, ...items),
    );
    this.#note.classList.add("bad");
    this.#note.tabIndex = 0;
    this.#targets.setAttribute("aria-invalid", "true");
  }

  /** Offers what the engine can: an active plugin does not run in passive mode, and a worker has its own limits. */
  follow(isEdge = this.#isEdge): void {
    const hasChanged = isEdge !== this.#isEdge;
    this.#isEdge = isEdge;
    for (const field of [this.#workers, this.#timeout, ...this.#modes()]) field.disabled = isEdge;
    const mode = this.#mode();
    for (const [name, box] of this.#boxes) box.disabled = !allowed(name, mode);
    if (hasChanged) this.clearNotes();
  }

  #modes(): HTMLInputElement[] {
    return [...this.#form.querySelectorAll<HTMLInputElement>('input[name="mode"]')];
  }

  clearNotes(): void {
    for (const field of [this.#targets, this.#workers, this.#timeout]) field.removeAttribute("aria-invalid");
    for (const [note, hint] of [
      [this.#note, TARGETS_HINT],
      [this.#settings, this.#isEdge ? EDGE_HINT : SETTINGS_HINT],
    ] as const) {
      note.classList.remove("bad");
      say(note, hint);
    }
    this.#note.tabIndex = -1;
  }

  /** Says that the scan could not begin at all. */
  showRefusal(message: string, field?: HTMLInputElement): void {
    this.#refuse(field, this.#settings, message);
  }

  #refuse(field: HTMLElement | undefined, note: HTMLElement, message: string): undefined {
    note.classList.add("bad");
    say(note, message);
    field?.setAttribute("aria-invalid", "true");
    field?.focus();
    return undefined;
  }

  #lay(): void {
    const boxes = PLUGIN_NAMES.map((name) => {
      const { title, about, mode } = PLUGINS[name];
      const box = build("input", { attributes: { type: "checkbox", name: "plugin", value: name } });
      box.checked = true;
      this.#boxes.set(name, box);
      const heading = build("span", { class: "plugin-title", text: title });
      if (mode === "active") heading.append(build("span", { class: "tag", text: "active" }));
      return build(
        "label",
        { class: "plugin" },
        box,
        build("span", {}, heading, build("span", { class: "plugin-about", text: about })),
      );
    });
    part("plugins", HTMLElement).replaceChildren(...boxes);
  }

  #mode(): Mode {
    // A field that is disabled is in no form data, and passive is what is left.
    return new FormData(this.#form).get("mode") === "active" ? "active" : "passive";
  }

  #countLines(): void {
    say(this.#count, plural(lines(this.#targets.value), "line"));
  }
}

function allowed(name: PluginName, mode: Mode): boolean {
  return mode === "active" || PLUGINS[name].mode === "passive";
}

function lines(text: string): number {
  return text.split("\n").filter((line) => line.trim() !== "" && !line.trimStart().startsWith("#")).length;
}

/** What was typed; a number field that holds no number gives nothing back. */
function shown(field: HTMLInputElement): string {
  return field.value === "" ? "what is there" : field.value;
}
