//! Flow control for one thread: pools, backpressure, breakers, rates and scans, over futures that need not be `Send`.
//!
//! The map of the house:
//!
//! | room | what is in it |
//! |---|---|
//! | [`machine`] | the deterministic state machines: events and a clock reading in, decisions out |
//! | [`future`] | the Rust host of the machines: the same policies as futures, and the runtimes they run on |
//! | `scan` | the scan engine over those futures: targets in, findings out (feature `scan`) |

#[cfg(all(target_arch = "wasm32", feature = "bindings"))]
mod bindings;
#[cfg(all(target_arch = "wasm32", feature = "bindings-scan"))]
#[path = "bindings/scan.rs"]
mod bindings_scan;
pub mod future;
pub mod machine;
#[cfg(feature = "scan")]
pub mod scan;

pub use future::*;
#[cfg(feature = "scan")]
pub use scan::Scanner;
