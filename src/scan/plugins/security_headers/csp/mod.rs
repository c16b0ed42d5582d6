//! Content-Security-Policy: parsed as CSP Level 3 has it, and judged.
//!
//! Several policies all apply at once, so a thing is allowed only where every policy allows it; that is how each
//! question below is asked. Report-only policies restrict nothing and are only mentioned.

mod judge;
mod oversights;
mod policy;
mod source;

pub(crate) use judge::judge;
pub(crate) use policy::Policy;
