/** The bindings that are armed: the bundler knows where they lie. The `trap` build is made for these tests alone. */
declare module "trap-bindings" {
  export function __wbg_set_wasm(exports: WebAssembly.Exports): void;
}

declare module "store-bindings" {
  export function __wbg_set_wasm(exports: WebAssembly.Exports): void;
}
