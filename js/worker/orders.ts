/** Orders out: what the machine has decided about tasks and workers is carried out. */

import { now } from "../clock.js";
import { bindings } from "../generated/store_bg.js";
import { LIST } from "../instance.js";
import { area, ask, settle } from "../store.js";
import type { Dispatch } from "./dispatch.js";
import { faultError } from "./failures.js";
import type { Link } from "./link.js";
import type { WorkerPoolConfig } from "./options.js";
import { HOWS } from "./protocol.js";
import { sendTasks } from "./send-tasks.js";
import type { Task } from "./tasks.js";

// What `dispatch_order` answers; 0 is no order.
const SPAWN = 1;
const SEND = 2;
const RETIRE = 3;
const END = 4;
const FAIL = 5;
const RUN_HERE = 6;

export class Orders {
  readonly #dispatch: Dispatch;
  #obeying = false;

  constructor(dispatch: Dispatch) {
    this.#dispatch = dispatch;
  }

  /** Carries out what the machine has ordered. */
  obey(): void {
    if (this.#obeying) return;
    this.#obeying = true;
    try {
      let more = true;
      while (more) {
        while (this.#obeyOne()) {}
        more = false;
        for (const link of this.#dispatch.staff.all())
          if (link.outbox.length > 0 && this.#send(link)) more = true;
      }
    } finally {
      this.#obeying = false;
    }
    settle();
  }

  #obeyOne(): boolean {
    const what = ask(() => bindings.dispatch_order(this.#dispatch.id));
    if (what === 0) return false;
    const view = area();
    const who = view[LIST] as number;
    const more = view[LIST + 1] as number;
    if (what === SPAWN) this.#spawn(who);
    else if (what === SEND) {
      const link = this.#dispatch.staff.get(who);
      ask(() => {
        for (let index = 0; index < more; index += 1) link?.outbox.push(bindings.told(index));
      });
    } else if (what === RETIRE || what === END) {
      if (what === RETIRE) this.#dispatch.staff.retire(who);
      else this.#dispatch.staff.end(who);
      this.#dispatch.watchers.look();
    } else if (what === FAIL) this.#fail(who, more);
    else if (what === RUN_HERE) this.#runHere(who);
    return true;
  }

  #spawn(ticket: number): void {
    const name = this.#dispatch.staff.nextName();
    try {
      this.#dispatch.staff.start(ticket, name);
    } catch (error) {
      // What throws once throws every time: there is nothing to wait for.
      if (!this.#dispatch.everReady) this.#dispatch.giveUp(error);
      ask(() => bindings.dispatch_crashed(this.#dispatch.id, now(), ticket));
      this.#dispatch.crashed(name, error);
    }
  }

  #fail(ticket: number, fault: number): void {
    const task = this.#dispatch.tasks.find(ticket);
    if (task === undefined) return;
    const { config, lastError } = this.#dispatch;
    this.#dispatch.leave(task);
    task.reject(faultError(fault, config, this.#dispatch.nameOf(task), limitOf(task, config), lastError));
  }

  #runHere(ticket: number): void {
    const task = this.#dispatch.tasks.find(ticket);
    if (task === undefined) return;
    this.#dispatch.givenUp = true;
    this.#dispatch.tasks.remove(task);
    const { what, args, more, inlet } = task;
    const ended = (tell: () => void) => {
      this.#dispatch.leave(task);
      tell();
    };
    this.#dispatch.here.run({
      ticket,
      name: this.#dispatch.nameOf(task),
      how: what % HOWS,
      args,
      transfer: more?.transfer,
      timeout: limitOf(task, this.#dispatch.config),
      inlet,
      resolve: (value, ran) => ended(() => task.resolve(value, ran)),
      reject: (error, failed) => {
        if (failed) this.#dispatch.failed += 1;
        ended(() => task.reject(error));
      },
    });
  }

  /** Sends a worker what lies ready for it. Says whether the machine was told of some that cannot be sent. */
  #send(link: Link): boolean {
    const tasks: Task[] = [];
    for (const ticket of link.outbox) {
      const task = this.#dispatch.tasks.find(ticket);
      if (task !== undefined) tasks.push(task);
    }
    link.outbox = [];
    if (tasks.length === 0) return false;
    this.#dispatch.messages += 1;
    const watched = isWatched(this.#dispatch.config) || tasks.some(isBounded);
    const unsent = sendTasks(link, tasks, this.#dispatch.names, watched);
    for (const { task, error } of unsent) {
      ask(() => bindings.dispatch_answered(this.#dispatch.id, now(), link.ticket, task.ticket, -1));
      ask(() => bindings.dispatch_flush(this.#dispatch.id, now()));
      this.#dispatch.failed += 1;
      this.#dispatch.leave(task);
      task.reject(error);
    }
    return unsent.length > 0;
  }
}

/** Milliseconds that a task may run. */
function limitOf({ more }: Task, { taskTimeout }: WorkerPoolConfig): number {
  return Math.min(more?.timeout ?? Number.POSITIVE_INFINITY, taskTimeout);
}

/** Milliseconds: a cancelled task that may go on for less is watched as one is whose time is limited. */
const SHORT_GRACE = 250;

/** Whether an answer that lies in a worker could be taken for a task that runs on: of any task of the pool, and of this one. */
function isWatched({ grace, taskTimeout }: WorkerPoolConfig): boolean {
  return grace < SHORT_GRACE || taskTimeout !== Number.POSITIVE_INFINITY;
}

function isBounded({ more }: Task): boolean {
  return more !== undefined && Math.min(more.timeout, more.deadline) !== Number.POSITIVE_INFINITY;
}
