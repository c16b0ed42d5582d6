// The page: puts its parts together and passes events between them.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { Board, type Filter, type Row } from "./board.js";
import { part, say } from "./build.js";
import { Detail } from "./detail.js";
import type { SeenEvent } from "./edge-scanner.js";
import { base } from "./edge-worker.js";
import { engine } from "./engine.js";
import { EngineChoice } from "./engine-choice.js";
import { Events } from "./events.js";
import { download, fileName } from "./export.js";
import { plural } from "./figures.js";
import { type BadTarget, Form } from "./form.js";
import { List } from "./list.js";
import { Plots } from "./plots.js";
import { Readouts } from "./readouts.js";
import { type Phase, Session } from "./session.js";
import { findSurroundings, type Surroundings } from "./surroundings.js";

const board = new Board();
const form = new Form(() => void scan());
const choice = new EngineChoice(() => tellEngine());
const readouts = new Readouts();
const plots = new Plots(part("plots", HTMLElement));
const events = new Events(part("events", HTMLElement));
const listFrame = part("list", HTMLElement);
const detailFrame = part("detail", HTMLElement);
const detail = new Detail(detailFrame, () => listFrame.focus());
const list = new List(
  {
    list: listFrame,
    rows: part("list-rows", HTMLElement),
    head: part("list-head", HTMLElement),
    empty: part("list-empty", HTMLElement),
  },
  board,
  openDetail,
);
const session = new Session({ phase: showPhase, event: take, broke });
const buttons = {
  scan: part("scan", HTMLButtonElement),
  pause: part("pause", HTMLButtonElement),
  cancel: part("cancel", HTMLButtonElement),
  json: part("export-json", HTMLButtonElement),
  csv: part("export-csv", HTMLButtonElement),
  sarif: part("export-sarif", HTMLButtonElement),
  html: part("export-html", HTMLButtonElement),
};
const counts: Record<Filter, HTMLElement> = {
  all: part("count-all", HTMLElement),
  findings: part("count-findings", HTMLElement),
  failed: part("count-failed", HTMLElement),
};
const status = part("status", HTMLElement);
let bad: BadTarget[] = [];
let surroundings: Surroundings | undefined;

// A button that goes out while it has the focus would lose it, so buttons go out by `aria-disabled`.
act(buttons.pause, () => session.pause());
act(buttons.cancel, () => session.cancel());
act(buttons.json, () => void exportAs("json"));
act(buttons.csv, () => void exportAs("csv"));
act(buttons.sarif, () => void exportAs("sarif"));
act(buttons.html, () => void exportAs("html"));
for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="filter"]')) {
  radio.addEventListener("change", () => {
    list.filter = radio.value as Filter;
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && detail.isOpen) detail.close();
});
list.begin();
tellEngine();
void settle();

/** Fills the page in with what there is to scan. */
async function settle(): Promise<void> {
  surroundings = await findSurroundings();
  form.fill(surroundings.targets, surroundings.requestTimeout);
  say(part("range-about", HTMLElement), surroundings.about);
  if (surroundings.worker !== undefined) {
    choice.propose(surroundings.worker);
    tellEngine();
    return;
  }
  engine().catch(() => {}); // said when a scan is asked for
  const faults = part("faults", HTMLButtonElement);
  const show = (on: boolean) => faults.setAttribute("aria-checked", String(on));
  show(surroundings.faults);
  delete faults.dataset.absent;
  faults.addEventListener("click", async () => {
    const wanted = faults.getAttribute("aria-checked") !== "true";
    show((await surroundings?.setFaults(wanted).catch(() => !wanted)) ?? wanted);
    events.add(
      Date.now(),
      `Faults of the targets are ${faults.getAttribute("aria-checked") === "true" ? "on" : "off"}`,
    );
  });
}

async function scan(): Promise<void> {
  if (buttons.scan.getAttribute("aria-disabled") === "true") return;
  const order = form.read();
  if (order === undefined) return;
  const fault = choice.fault();
  if (fault !== undefined) return form.showRefusal(fault.message, fault.field);
  bad = [];
  const { worker } = choice;
  tellEngine();
  await session.run(order, worker === undefined ? { fetch: surroundings?.fetch } : { worker });
}

/** Says who scans, where the progress is, and lets the form offer what that engine can. */
function tellEngine(): void {
  const { worker } = choice;
  form.follow(worker !== undefined);
  say(
    part("engine-now", HTMLElement),
    worker === undefined ? "in this tab" : `on the edge worker, all headers visible${at(worker.url)}`,
  );
}

function at(url: string): string {
  return url !== "" && URL.canParse(url) ? `: ${base(url).host}` : "";
}

function take(event: SeenEvent): void {
  board.take(event);
  readouts.take(event);
  events.take(event);
  switch (event.type) {
    case "started":
      plots.clear();
      detail.clear();
      list.begin();
      say(status, `Scan of ${plural(event.targets.length, "target")} began.`);
      break;
    case "invalid-target":
      bad.push(event);
      form.showBad(bad);
      break;
    case "progress":
      if (event.metrics !== null) plots.add(event.metrics);
      break;
    case "done": {
      const { findings } = event.report.summary;
      const serious = findings.critical + findings.high;
      const total = findings.critical + findings.high + findings.medium + findings.low;
      say(
        status,
        `Scan ${event.cancelled ? "cancelled" : "done"}: ${plural(event.report.targets.length, "target")}, ${plural(total, "finding")}, ${serious} of them serious.`,
      );
      break;
    }
    default:
      break;
  }
  if (event.type === "breaker") return;
  list.refresh();
  detail.refresh();
  for (const filter of ["all", "findings", "failed"] as const)
    say(counts[filter], String(board.count(filter)));
}

function showPhase(phase: Phase): void {
  const busy = phase === "loading" || phase === "scanning" || phase === "paused" || phase === "cancelling";
  document.documentElement.dataset.phase = phase;
  readouts.phase(phase);
  enable(buttons.scan, !busy);
  enable(buttons.pause, (phase === "scanning" || phase === "paused") && session.canPause);
  enable(buttons.cancel, phase === "scanning" || phase === "paused");
  enable(buttons.json, session.report !== undefined);
  enable(buttons.csv, session.report !== undefined);
  enable(buttons.sarif, session.report !== undefined);
  enable(buttons.html, session.report !== undefined);
  say(buttons.pause, phase === "paused" ? "Resume" : "Pause");
}

function broke(message: string): void {
  form.showRefusal(message);
  say(status, message);
}

function openDetail(row: Row): void {
  detail.open(row);
  if (getComputedStyle(detailFrame).position === "fixed") detailFrame.focus(); // it covers the page on narrow screens
}

async function exportAs(format: "json" | "csv" | "sarif" | "html"): Promise<void> {
  const { report } = session;
  if (report === undefined) return;
  if (format === "json")
    download(fileName(report, "json"), "application/json", JSON.stringify(report, null, 2));
  else if (format === "csv")
    download(fileName(report, "csv"), "text/csv;charset=utf-8", (await engine()).toCsv(report));
  else if (format === "sarif")
    download(fileName(report, "sarif"), "application/sarif+json", (await engine()).toSarif(report));
  else download(fileName(report, "html"), "text/html;charset=utf-8", (await engine()).toHtml(report));
}

function act(button: HTMLButtonElement, does: () => void): void {
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") does();
  });
}

function enable(button: HTMLButtonElement, on: boolean): void {
  button.setAttribute("aria-disabled", String(!on));
}
