// What happened that is neither a result nor a number: breakers, pauses, beginnings and ends. The newest last, and in sight unless the reader has scrolled away.

import { build } from "./build.js";
import type { SeenEvent } from "./edge-scanner.js";
import { clock, plural } from "./figures.js";
import { foreignLine } from "./foreign.js";

const MOST = 200;

export class Events {
  #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
    this.clear();
  }

  clear(): void {
    this.#list.replaceChildren(build("li", { class: "quiet", text: "Nothing yet." }));
  }

  take(event: SeenEvent): void {
    const line = lineOf(event);
    if (line !== undefined) this.add(line.at, line.text, line.kind);
  }

  add(at: number, text: string, kind = "note"): void {
    if (this.#list.querySelector("time") === null) this.#list.replaceChildren();
    const item = build(
      "li",
      { data: { kind } },
      build("time", { class: "num", text: clock(at) }),
      " ",
      build("bdi", { text }),
    );
    const follows = this.#list.scrollTop + this.#list.clientHeight >= this.#list.scrollHeight - 4;
    this.#list.append(item);
    while (this.#list.childElementCount > MOST) this.#list.firstElementChild?.remove();
    if (follows) this.#list.scrollTop = this.#list.scrollHeight;
  }
}

function lineOf(event: SeenEvent): { at: number; text: string; kind?: string } | undefined {
  switch (event.type) {
    case "started":
      return {
        at: event.at,
        text: `Scan of ${plural(event.targets.length, "target")} begins, ${plural(event.total, "run")}, ${event.mode}`,
      };
    case "breaker": {
      const host = foreignLine(event.host);
      if (event.to === "open")
        return {
          at: event.at,
          text: `Breaker of ${host} opens after ${plural(event.failures, "failure")} in a row`,
          kind: "open",
        };
      if (event.to === "half-open")
        return {
          at: event.at,
          text: `Breaker of ${host} is half-open: one request may try`,
          kind: "half-open",
        };
      return { at: event.at, text: `Breaker of ${host} closes`, kind: "closed" };
    }
    case "paused":
      return { at: event.at, text: "Paused: what runs ends, nothing new begins" };
    case "resumed":
      return { at: event.at, text: "Goes on" };
    case "done":
      return { at: event.at, text: event.cancelled ? "Scan cancelled" : "Scan done" };
    default:
      return undefined;
  }
}
