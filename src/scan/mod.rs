//! The scan engine: targets in, findings out, through levels of pools that are polite to every host.
//!
//! | room | what is in it |
//! |---|---|
//! | [`target`], [`targets`] | what a scan is pointed at: one, and a list of them |
//! | [`plugin`] | what looks at a target, and what it is given to look with |
//! | [`finding`] | what was found |
//! | [`fetch`] | how a target is reached: a trait, so that a test needs no network |
//! | [`fake`] | a network that answers from a script, in virtual time |
//! | [`plugins`] | the plugins that come with the crate |

pub mod config;
mod course;
pub mod event;
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
