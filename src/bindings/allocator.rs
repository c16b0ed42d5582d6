//! The allocator of the modules that the npm package loads.
//!
//! The standard library's is made for large heaps of many threads and weighs a tenth of the smallest module. One for one
//! thread is a third of it, and faster. Rust users keep whatever their program chose.

use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();
