//! The scan engine: targets in, findings out, through levels of pools that are polite to every host.
//!
//! | room | what is in it |
//! |---|---|
//! | [`scanner`] | the engine: a [`Scanner`] makes a [`Scan`] of a list of targets |
//! | [`config`] | what a scan is told |
//! | [`target`], [`targets`] | what it is pointed at: one, and a list of them |
//! | [`plugin`], [`plugins`] | what looks at a target, and what it is given to look with; those that come with the crate |
//! | [`finding`] | what was found |
//! | [`event`], [`metrics`] | what a scan says while it runs, in events and in numbers |
//! | [`report`] | what it leaves behind, as JSON and CSV, and how it is taken up again |
//! | [`fetch`] | how a target is reached: a trait, so that a test needs no network |
//! | [`fake`] | a network that answers from a script, in virtual time |
//! | `web` | the network of every JavaScript host (wasm only) |

pub mod config;
mod course;
pub mod event;
mod excerpt;
pub mod fake;
pub mod fetch;
pub mod finding;
mod hosts;
mod http_date;
mod levels;
pub mod metrics;
mod monitor;
pub mod plugin;
pub mod plugins;
pub mod report;
mod run;
pub mod scanner;
mod suggest;
pub mod target;
pub mod targets;
mod visit;
#[cfg(target_arch = "wasm32")]
pub mod web;

pub use course::Scan;
pub use scanner::Scanner;
