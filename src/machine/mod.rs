//! The deterministic machines: events and a clock reading in, decisions and a next deadline out.
//!
//! Nothing here reads a clock, draws entropy, does I/O or calls anybody back. Each machine is testable alone; a
//! `World` holds all machines of one instance.

pub mod adaptive;
pub mod backoff;
pub mod barrier;
pub mod batch;
pub mod breaker;
pub mod cache;
pub mod channel;
pub mod config;
pub mod counters;
pub mod crowd;
pub mod deadlines;
pub mod dispatch;
pub mod event;
pub mod gate;
pub mod graph;
pub mod histogram;
pub mod keys;
pub mod limiter;
pub mod line;
pub mod locks;
pub mod objects;
pub mod orchestrator;
pub mod permits;
pub mod presence;
pub mod pressure;
pub mod queue;
pub mod random;
pub mod rate;
pub mod retry;
pub mod sliding_window;
pub mod state;
pub mod steady;
pub mod ticket;
pub mod time;
pub mod token_bucket;
mod turns;
pub mod wait_for;
pub mod waiters;
pub mod wakes;
mod within;
pub mod world;
