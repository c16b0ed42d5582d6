/** The bindings that are armed: the bundler knows where they lie. The `trap` build is made for these tests alone. */
declare module "trap-bindings" {
  export interface Bindings {
    readonly memory: WebAssembly.Memory;
  }
  export function use(exports: WebAssembly.Exports): Bindings;
}

declare module "store-bindings" {
  export interface Bindings {
    readonly memory: WebAssembly.Memory;
  }
  export function use(exports: WebAssembly.Exports): Bindings;
}

declare module "rate-bindings" {
  export interface Bindings {
    readonly memory: WebAssembly.Memory;
  }
  export function use(exports: WebAssembly.Exports): Bindings;
}
