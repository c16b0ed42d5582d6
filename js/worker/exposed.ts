/** What a pool knows of the functions that its workers expose: their names, arguments and results. */

import type { Functions } from "./call.js";

export type NameOf<F> = keyof F & string;
type Untyped<F> = Functions extends F ? true : false;
export type ArgumentsOf<F, K extends keyof F> =
  Untyped<F> extends true
    ? readonly unknown[]
    : F[K] extends (...args: infer A) => unknown
      ? Readonly<A>
      : never;
export type ResultOf<F, K extends keyof F> =
  Untyped<F> extends true ? unknown : F[K] extends (...args: never[]) => infer R ? Settled<R> : never;
type Settled<R> =
  R extends Generator<infer T, unknown, unknown>
    ? T[]
    : R extends AsyncGenerator<infer T, unknown, unknown>
      ? T[]
      : Awaited<R>;
export type ItemOf<F, K extends keyof F> =
  Untyped<F> extends true
    ? unknown
    : F[K] extends (...args: never[]) => infer R
      ? R extends Generator<infer T, unknown, unknown>
        ? T
        : R extends AsyncGenerator<infer T, unknown, unknown>
          ? T
          : Awaited<R>
      : never;
