//! The Rust host of the machines: the same policies as futures, on one thread, with no `Send` anywhere.
//!
//! A [`Runtime`] gives what a host has and a machine must not have: a clock, timers, tasks and a way to park. On the
//! web that is `WebRuntime`; in tests it is [`VirtualRuntime`], whose clock jumps.

pub mod batch;
pub mod gather;
pub mod runtime;
pub mod timeout;
pub mod virtual_runtime;
#[cfg(target_arch = "wasm32")]
pub mod web_runtime;

pub use batch::{BatchError, BatchOptions, BatchResult, Batches, batch};
pub use gather::{AsCompleted, Gather, Partition, TryGather, as_completed, gather, partition, try_gather};
pub use runtime::{Parker, Runtime, TaskParker};
pub use timeout::{TimeoutError, timeout};
pub use virtual_runtime::{Stalled, VirtualRuntime};
#[cfg(target_arch = "wasm32")]
pub use web_runtime::WebRuntime;
