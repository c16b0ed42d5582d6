/** The outside of one worker: the two kinds of worker there are, as one. */

import type { WorkerLike } from "../worker-platform/platform.js";
import { BYE, EXIT, MARK, type Message, ours } from "./protocol.js";

/** What is heard of a worker. */
export interface Ears {
  said(link: Link, message: Message): void;
  /** It is gone, or as good as gone; told once. */
  gone(link: Link, error: unknown): void;
}

interface EventWorker extends WorkerLike {
  addEventListener(type: string, listener: (event: never) => void): void;
}

interface EmitterWorker extends WorkerLike {
  on(type: string, listener: (value: never) => void): void;
  ref?(): void;
  unref?(): void;
}

export class Link {
  /** By which the machine knows it. */
  readonly ticket: number;
  readonly name: string;
  readonly #worker: WorkerLike;
  readonly #terminate: () => unknown;
  #ears: Ears | undefined;
  /** What it has said that it exposes, once it is ready. */
  ready = false;
  /** Tickets of the tasks of its next message. */
  outbox: number[] = [];
  /** Which names of functions it knows. */
  readonly knows = new Set<number>();
  /** Runs until it is ready. */
  timer: ReturnType<typeof setTimeout> | undefined;
  #left: (() => void) | undefined;

  constructor(ticket: number, name: string, worker: WorkerLike, ears: Ears) {
    this.ticket = ticket;
    this.name = name;
    this.#worker = worker;
    this.#ears = ears;
    this.#terminate = worker.terminate.bind(worker);
    const said = (data: unknown) => {
      const message = ours(data);
      if (message !== undefined) this.#ears?.said(this, message);
    };
    const gone = (error: unknown) => this.#gone(error);
    const emitter = worker as EmitterWorker;
    if (typeof (worker as EventWorker).addEventListener === "function") {
      const events = worker as EventWorker;
      events.addEventListener("message", (event: MessageEvent) => said(event.data));
      events.addEventListener("messageerror", () => gone(new TypeError("A message could not be read")));
      events.addEventListener("error", (event: ErrorEvent) => {
        // Where nobody takes it, Deno ends the whole process.
        event.preventDefault?.();
        gone(event.error ?? new Error(event.message || "The worker's script could not be loaded"));
      });
      events.addEventListener("close", () => gone(new Error("The worker has ended")));
    } else if (typeof emitter.on === "function") {
      emitter.on("message", said);
      emitter.on("messageerror", gone);
      emitter.on("error", gone);
      emitter.on("exit", (code: number) => gone(new Error(`The worker has ended with code ${code}`)));
    } else throw new TypeError("Expected `worker` to give a Worker");
    // One that is terminated by somebody else says nothing in a browser.
    worker.terminate = () => {
      const result = this.#terminate();
      this.#gone(new Error("The worker was terminated"));
      return result;
    };
  }

  /** @throws where the message cannot be cloned */
  post(message: unknown[], transfer: Transferable[]): void {
    this.#worker.postMessage(message, transfer as never[]);
  }

  /** Whether it keeps the process alive, where workers do. */
  keep(process: boolean): void {
    const worker = this.#worker as EmitterWorker;
    if (process) worker.ref?.();
    else worker.unref?.();
  }

  /** Asks it to exit, and resolves when it has said that it does; it is ended if that takes too long. */
  retire(grace: number): Promise<void> {
    this.keep(true);
    return new Promise((resolve) => {
      const end = () => {
        if (this.#left === undefined) return;
        this.#left = undefined;
        clearTimeout(timer);
        this.end();
        resolve();
      };
      this.#left = end;
      const timer = setTimeout(end, grace);
      this.#ears = {
        said: (_, [, what]) => {
          if (what === BYE) end();
        },
        gone: end,
      };
      try {
        this.post([MARK, EXIT], []);
      } catch {
        end();
      }
    });
  }

  /** Ends it, whatever it does. Nothing is heard of it any more. */
  end(): void {
    this.#ears = undefined;
    this.#left?.();
    try {
      void this.#terminate();
    } catch {
      // It is gone already.
    }
  }

  #gone(error: unknown): void {
    const ears = this.#ears;
    this.#ears = undefined;
    ears?.gone(this, error);
  }
}
