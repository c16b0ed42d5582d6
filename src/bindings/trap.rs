//! A deliberate trap, for the tests of recovery; never in a published build.

use super::at_world;
use wasm_bindgen::prelude::wasm_bindgen;

/// Traps in the middle of a call, as a bug would.
#[wasm_bindgen]
pub fn trap() {
    at_world(|_, _| core::arch::wasm32::unreachable());
}
