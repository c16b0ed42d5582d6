import { dispose as disposeSymbol } from "./dispose.js";
import { log, logging, reportError } from "./log.js";
import { callable } from "./options.js";

/** Takes a listener away again; also a `Disposable`. */
export interface Disposer extends Disposable {
  (): void;
}

type Listener = (detail: never) => void;

/** The typed events of one handle. Nothing is allocated before somebody listens. */
export class Events<Map extends object> {
  readonly #policy: string;
  readonly #name: string;
  #listeners: globalThis.Map<keyof Map, Set<Listener>> | undefined;

  constructor(policy: string, name: string) {
    this.#policy = policy;
    this.#name = name;
  }

  /** Calls `fn` with each `event`, until the disposer is called. */
  on<K extends keyof Map & string>(event: K, fn: (detail: Map[K]) => void): Disposer {
    callable("fn", fn);
    this.#listeners ??= new Map();
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    // A wrapper of its own, so that the same function given twice is called twice and removed one at a time.
    const listener: Listener = (detail) => fn(detail);
    listeners.add(listener);
    const dispose = (() => listeners.delete(listener)) as unknown as Disposer;
    Object.defineProperty(dispose, disposeSymbol, { value: dispose });
    return dispose;
  }

  /** Whether an event would reach anybody. */
  heard(event: keyof Map): boolean {
    return logging() || (this.#listeners?.get(event)?.size ?? 0) > 0;
  }

  /** Tells everybody. A listener that throws does not break the policy: its error is reported like any uncaught one. */
  emit<K extends keyof Map & string>(event: K, detail: Map[K]): void {
    if (logging()) log({ event, policy: this.#policy, name: this.#name, detail });
    const listeners = this.#listeners?.get(event);
    if (listeners === undefined) return;
    for (const listener of [...listeners]) {
      try {
        (listener as (detail: Map[K]) => void)(detail);
      } catch (error) {
        reportError(error);
      }
    }
  }
}
