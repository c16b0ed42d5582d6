/** The bindings of the `trap` build, which is made for these tests alone: the bundler knows where they lie. */
declare module "trap-bindings" {
  export function __wbg_set_wasm(exports: WebAssembly.Exports): void;
}
