/** What the workers of a pool say, and what it means when they say nothing any more. */

import { now } from "../clock.js";
import { bindings } from "../generated/store_bg.js";
import { ask } from "../store.js";
import type { Dispatch } from "./dispatch.js";
import type { Ears, Link } from "./link.js";
import { answerOutside } from "./outside-host.js";
import {
  ANSWER_SPAN,
  ANSWERS,
  BYE,
  DONE,
  ITEMS,
  MARK,
  MEMORY,
  type Message,
  NEVER,
  OUTSIDE,
  READY,
  THROWN,
  TRAPPED,
} from "./protocol.js";
import { survive } from "./survive.js";
import type { Task } from "./tasks.js";
import { fromWire, type WireError } from "./wire-error.js";

export class Reports implements Ears {
  readonly #dispatch: Dispatch;

  constructor(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  said(link: Link, message: Message): void {
    const [, what, first, second] = message;
    survive(() => {
      if (what === ANSWERS) this.#answers(link, first as unknown[], second as number);
      else if (what === ITEMS) this.#dispatch.tasks.find(first as number)?.inlet?.push(second as unknown[]);
      else if (what === READY) this.#ready(link);
      else if (what === TRAPPED)
        this.#trapped(link, first as number, fromWire(second as WireError), message[4] === true);
      else if (what === OUTSIDE) answerOutside(this.#dispatch.config.outside, first, second, message[4]);
      else if (what === BYE) this.gone(link, new Error("The worker has closed itself"));
    });
  }

  #ready(link: Link): void {
    link.ready = true;
    clearTimeout(link.timer);
    this.#dispatch.everReady = true;
    if (this.#dispatch.config.recycleMemory !== Number.POSITIVE_INFINITY)
      this.#dispatch.tell(link, [MARK, MEMORY]);
    this.#dispatch.call(() => bindings.dispatch_ready(this.#dispatch.id, now(), link.ticket));
    this.#dispatch.watchers.look();
  }

  #answers(link: Link, answers: unknown[], memory: number): void {
    const at = now();
    const ended: (Task | undefined)[] = [];
    ask(() => {
      for (let index = 0; index < answers.length; index += ANSWER_SPAN) {
        const ticket = answers[index] as number;
        const ran = answers[index + 3] as number;
        // What a stream costs is its reader's doing.
        const task = this.#dispatch.tasks.find(ticket);
        const learns = task?.inlet === undefined ? ran : -1;
        const verdict = bindings.dispatch_answered(this.#dispatch.id, at, link.ticket, ticket, learns);
        ended.push(verdict === 1 ? task : undefined);
      }
      if (memory > 0) bindings.dispatch_memory(this.#dispatch.id, at, link.ticket, memory);
      bindings.dispatch_flush(this.#dispatch.id, at);
    });
    for (const task of ended) if (task !== undefined) this.#dispatch.leave(task);
    // The workers first, then those who wait for the answers: they have them, whatever becomes of the rest.
    survive(() => this.#dispatch.orders.obey());
    for (let index = 0; index < ended.length; index += 1) {
      const task = ended[index];
      if (task === undefined) continue;
      const how = answers[index * ANSWER_SPAN + 1];
      const value = answers[index * ANSWER_SPAN + 2];
      if (how === DONE) task.resolve(value, answers[index * ANSWER_SPAN + 3] as number);
      else {
        this.#dispatch.failed += 1;
        if (how === NEVER) task.reject(new DOMException("This operation was aborted", "AbortError"));
        else task.reject(how === THROWN ? fromWire(value as WireError) : value);
      }
    }
  }

  #trapped(link: Link, ticket: number, error: Error, alone: boolean): void {
    this.#dispatch.staff.forget(link.ticket);
    link.end();
    this.#dispatch.lastError = error;
    // Where others had begun too, nobody can tell which of them would run twice.
    if (alone) ask(() => bindings.dispatch_trapped(this.#dispatch.id, now(), link.ticket, ticket));
    else ask(() => bindings.dispatch_crashed(this.#dispatch.id, now(), link.ticket));
    this.#dispatch.crashed(link.name, error);
  }

  gone(link: Link, error: unknown): void {
    if (this.#dispatch.staff.forget(link.ticket) === undefined) return;
    link.end();
    this.#dispatch.lastError = error;
    survive(() => {
      ask(() => bindings.dispatch_crashed(this.#dispatch.id, now(), link.ticket));
      this.#dispatch.crashed(link.name, error);
    });
  }
}
