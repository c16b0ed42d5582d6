//! Flow control for one thread: pools, backpressure, breakers, rates and scans, over futures that need not be `Send`.
//!
//! Everything that can be wrong in concurrency is decided by deterministic machines; hosts carry out what they decide. A
//! [`Host`] owns one world of machines and a [`Runtime`]; policies are made from it and are cheap handles.
//!
//! # The map of the house
//!
//! | room | what is in it |
//! |---|---|
//! | [`machine`] | the deterministic state machines: events and a clock reading in, decisions and a next deadline out; `machine::world` holds all of one instance |
//! | [`future`] | the Rust host of the machines: the same policies as futures, and the runtimes they run on; all of it is at the door of the crate too |
//! | `kernels` | CPU work for workers: hashes, secret search (feature `kernels`) |
//! | `scan` | the scan engine over those futures: targets in, findings out (feature `scan`) |
//! | `bindings` | the exports of the npm package: numbers in, numbers out (wasm, features `bindings`, `bindings-store` and `bindings-rate`); of its scan module, objects (`bindings-scan`); of its kernels module, bytes (`bindings-kernels`) |
//!
//! A policy has the same name in each room: `machine::breaker` decides, `future::breaker` is the Rust type, `bindings/breaker.rs`
//! the boundary and `js/breaker.ts` the JavaScript host. `ARCHITECTURE.md` walks one policy through all of them.
//!
//! # Where to begin
//!
//! | to | take |
//! |---|---|
//! | bound what runs, queue the rest, add rates, a breaker and timeouts | [`Pool`], [`PoolGroup`], [`Semaphore`] |
//! | run many futures, some at once | [`gather()`], [`as_completed`], [`batch()`] |
//! | stop calling what fails, try again what may heal | [`CircuitBreaker`], [`Retry`], [`timeout()`] |
//! | limit a rate, find the right concurrency | [`RateLimiter`], [`AdaptiveLimit`] |
//! | let tasks meet | [`Channel`], [`Select`], [`Event`], [`Barrier`], [`LockSet`] |
//! | keep and share | [`Cache`], [`VersionedState`], [`Counter`] |
//! | order work by what it depends on, write what comes of it | [`TaskGraph`], [`Orchestrator`], [`Sink`] |
//! | see what happens, and how hard the host is pressed | [`Metrics`], [`PressureMonitor`] |
//! | test any of it, and your own code, in virtual time | [`VirtualRuntime`] |
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use tidegate::{Host, Pool, PoolOptions, RunError, RunOptions, Runtime, VirtualRuntime};
//!
//! let runtime = VirtualRuntime::new(); // in a page: WebRuntime::new()
//! let pool = Pool::new(&Host::new(runtime.clone()), PoolOptions::new(2).timeout(Duration::from_secs(30)))?;
//!
//! let hangs = pool.run(RunOptions::new(), |_| std::future::pending::<Result<(), String>>());
//! assert!(matches!(runtime.block_on(hangs), Err(RunError::Timeout(_))));
//! assert_eq!(runtime.now().as_micros(), 30_000_000); // and nobody waited
//! # Ok::<(), tidegate::ConfigError>(())
//! ```

#[cfg(all(target_arch = "wasm32", feature = "allocator"))]
#[path = "bindings/allocator.rs"]
mod allocator;
#[cfg(all(
    target_arch = "wasm32",
    any(feature = "bindings", feature = "bindings-store", feature = "bindings-rate")
))]
mod bindings;
#[cfg(all(target_arch = "wasm32", feature = "bindings-edge"))]
#[path = "bindings/edge.rs"]
mod bindings_edge;
#[cfg(all(target_arch = "wasm32", feature = "bindings-kernels"))]
#[path = "bindings/kernels.rs"]
mod bindings_kernels;
#[cfg(all(target_arch = "wasm32", feature = "bindings-scan"))]
#[path = "bindings/scan.rs"]
mod bindings_scan;
pub mod future;
#[cfg(feature = "kernels")]
pub mod kernels;
pub mod machine;
#[cfg(feature = "scan")]
pub mod scan;

pub use future::*;
#[cfg(feature = "scan")]
pub use scan::Scanner;

/// The Rust examples of the README run with all others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
