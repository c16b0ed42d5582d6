//! CPU work for whoever has a core to spare: pure functions over bytes and numbers, which a worker runs and a test calls.
//!
//! | room | what is in it |
//! |---|---|
//! | [`sha256`] | SHA-256 of bytes, and of the chunks of them, four at a time |
//! | [`secrets`] | leaked credentials in text: the rules, and the search for all of them in one pass |
//! | [`fingerprint`] | what a text is compared by, and how alike two are |
//! | [`statistics`] | moments, quantiles and histograms, mergeable |
//!
//! Nothing here knows of threads, workers, time or JavaScript. What can be done in lanes is written in arrays of lanes, which
//! a compiler turns into vector instructions where the target has them (SSE2 on x86-64, `simd128` in wasm) and into plain ones
//! where it has not: one source, two builds, the same results.

pub mod fingerprint;
pub mod secrets;
pub mod sha256;
pub mod statistics;
