/** What many isolates decide together: in this one alone, or by Durable Objects, one for each key. */

import { choice, milliseconds, object, reject } from "../options.js";
import { EdgeError, guard } from "./edge-error.js";
import { type Answers, type CoordinatorRequest, decide, type Ledger, newLedger } from "./ledger.js";

/** Decides about keys for everybody who asks it. */
export interface Coordinator {
  /** What its users do while it cannot be reached. */
  readonly unreachable: Unreachable;
  /** @throws CoordinatorUnreachableError */
  ask<K extends keyof Answers>(
    key: string,
    request: Extract<CoordinatorRequest, { kind: K }>,
  ): Promise<Answers[K]>;
}

/**
 * While a coordinator cannot be reached: `closed` lets nobody pass, so that no limit is ever exceeded; `open` lets everybody pass, so that
 * nothing stands still; `local` keeps each limit in each isolate by itself.
 */
export type Unreachable = "closed" | "open" | "local";

/** The coordinator did not answer, or not in time. */
export class CoordinatorUnreachableError extends EdgeError {
  override readonly name = "CoordinatorUnreachableError";
  readonly code = "COORDINATOR_UNREACHABLE";
}

/** Whether an error is a {@link CoordinatorUnreachableError}. */
export const isCoordinatorUnreachableError: (error: unknown) => error is CoordinatorUnreachableError =
  guard("COORDINATOR_UNREACHABLE");

/**
 * Decides for this isolate alone: what {@link durableCoordinator} is in tests, and where there is only one isolate.
 *
 * @example
 * ```ts
 * import { localCoordinator, SharedState } from "tidegate/edge";
 *
 * const visits = new SharedState<number>(localCoordinator(), { name: "visits" });
 * await visits.update("page", (count = 0) => count + 1);
 * console.log(await visits.get("page")); // → { value: 1, version: 1 }
 * ```
 */
export function localCoordinator(): Coordinator {
  const ledgers = new Map<string, Ledger>();
  return {
    unreachable: "local",
    async ask(key, request) {
      let ledger = ledgers.get(key);
      if (ledger === undefined) ledgers.set(key, (ledger = newLedger()));
      return decide(ledger, request, Date.now());
    },
  };
}

/** An object that restarts is there again at once; one that is not there after that many tries is away. */
const TRIES = 4;

/** What is needed of `env.BINDING`: a Durable Object namespace. */
export interface CoordinatorNamespace {
  idFromName(name: string): unknown;
  // biome-ignore lint/suspicious/noExplicitAny: the id is the platform's own type.
  get(id: any): { fetch(url: string, init: RequestInit): Promise<Response> };
}

/** How {@link durableCoordinator} deals with an object that does not answer. */
export interface DurableCoordinatorOptions {
  /** @default "closed", because a limit that is exceeded when something breaks is none */
  unreachable?: Unreachable;
  /** Milliseconds for an answer, with up to three more tries unless the object says that it has too much to do. @default 2 s */
  timeout?: number;
}

/**
 * Decides by Durable Objects of the class {@link CoordinatorObject}, one for each key, which keep what they know in SQLite.
 *
 * @throws TypeError where `namespace` is none, or an option is wrong
 * @example
 * ```ts no-run
 * import { Pool } from "tidegate";
 * import { durableCoordinator, SharedPool } from "tidegate/edge";
 * export { CoordinatorObject } from "tidegate/edge";
 *
 * declare const env: { COORDINATOR: Parameters<typeof durableCoordinator>[0] };
 * const coordinator = durableCoordinator(env.COORDINATOR, { unreachable: "local" });
 * const upstream = new SharedPool(coordinator, { name: "upstream", concurrency: 100 });
 * await upstream.run(({ signal }) => fetch("https://api.example.com/", { signal }));
 * ```
 */
export function durableCoordinator(
  namespace: CoordinatorNamespace,
  options: DurableCoordinatorOptions = {},
): Coordinator {
  if (typeof namespace?.idFromName !== "function")
    reject("namespace", "a Durable Object namespace", namespace);
  object("options", options);
  const timeout = milliseconds("timeout", options.timeout ?? 2000, 1);
  const unreachable = choice("unreachable", options.unreachable ?? "closed", ["closed", "open", "local"]);
  return {
    unreachable: unreachable as Unreachable,
    async ask(key, request) {
      const ends = Date.now() + timeout;
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await once(namespace, key, request, ends - Date.now());
        } catch (error) {
          // Every request may be asked twice, so only what asking again makes worse is not.
          const { overloaded } = error as { overloaded?: boolean };
          const pause = 20 * attempt + 20 * Math.random();
          if (overloaded === true || attempt === TRIES || Date.now() + pause >= ends)
            throw new CoordinatorUnreachableError(`The coordinator of \`${key}\` did not answer`, {
              cause: error,
            });
          await new Promise((resolve) => setTimeout(resolve, pause));
        }
      }
    },
  };
}

/** A stub belongs to the request that made it: each call makes its own. */
async function once<K extends keyof Answers>(
  namespace: CoordinatorNamespace,
  key: string,
  request: Extract<CoordinatorRequest, { kind: K }>,
  ms: number,
): Promise<Answers[K]> {
  const object = namespace.get(namespace.idFromName(key));
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  try {
    const body = JSON.stringify(request);
    const answer = object.fetch("https://coordinator/", { method: "POST", body }).then(async (response) => {
      if (!response.ok) throw new Error(`it answered ${response.status}: ${await response.text()}`);
      return (await response.json()) as Answers[K];
    });
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
