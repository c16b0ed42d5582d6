//! Bounds for floats, without the panic of `f64::clamp`, whose message brings 15 KB of float formatting into the wasm.

/// `value`, or the bound it lies beyond. With bounds in the wrong order the upper one holds.
#[allow(clippy::manual_clamp)] // See the module's documentation.
pub(crate) const fn within(value: f64, least: f64, most: f64) -> f64 {
    value.max(least).min(most)
}
