//! CPU work for whoever has a core to spare: pure functions over bytes and numbers, which a worker runs and a test calls.
//!
//! | room | what is in it |
//! |---|---|
//! | [`sha256`] | SHA-256 of bytes, and of the chunks of them, four at a time |
//! | [`secrets`] | leaked credentials in text: the rules, and the search for all of them in one pass |
//! | [`fingerprint`] | what a text is compared by, and how alike two are |
//! | [`statistics`] | moments, quantiles and histograms, mergeable |
//!
//! Nothing here knows of threads, workers, time or JavaScript. What can be done in lanes is written in lanes: as arrays, which
//! a compiler turns into vector instructions where the target has them, or, where it does not find them (rotations, in
//! SHA-256), with the instructions of `simd128` themselves. One source, two builds, the same results.

pub mod fingerprint;
pub mod secrets;
pub mod sha256;
pub mod statistics;
