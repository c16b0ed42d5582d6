//! A limit that finds itself, for those who keep to it by their own means.

use super::runtime::Runtime;
use crate::machine::adaptive::{Adaptive, AdaptiveConfig, Sample, Scaled};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A number of calls that may run at once, moved by how each of them went. A pool does all this by itself
/// ([`PoolOptions::adaptive`](super::PoolOptions::adaptive)); this is for whoever has no pool.
///
/// Clones are handles of the same limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{AdaptiveConfig, AdaptiveLimit, Algorithm, Ending, Sample, VirtualRuntime};
///
/// let runtime = VirtualRuntime::new();
/// let limit = AdaptiveLimit::new(&runtime, AdaptiveConfig::new(Algorithm::Aimd, 1, 20)?.initial(10)?);
/// runtime.advance(Duration::from_millis(50));
/// let overloaded = Sample {
///     latency: Duration::from_millis(50),
///     in_flight: 10,
///     queued: 0,
///     queue_capacity: None,
///     ending: Ending::Dropped,
/// };
/// limit.sample(overloaded);
/// assert_eq!(limit.limit(), 9);
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
pub struct AdaptiveLimit<R> {
    runtime: R,
    adaptive: Rc<RefCell<Adaptive>>,
}

impl<R: Runtime> AdaptiveLimit<R> {
    /// A limit by the clock of `runtime`.
    pub fn new(runtime: &R, config: AdaptiveConfig) -> Self {
        Self {
            runtime: runtime.clone(),
            adaptive: Rc::new(RefCell::new(Adaptive::new(config))),
        }
    }

    /// How many calls may run at once now.
    pub fn limit(&self) -> u32 {
        self.adaptive.borrow().limit()
    }

    /// Takes how a call went into account, and says whether the limit changed by it.
    pub fn sample(&self, sample: Sample) -> Option<Scaled> {
        self.adaptive.borrow_mut().sample(self.runtime.now(), sample)
    }

    /// Holds the limit at or below `ceiling` until it is lifted with `None`: for times of pressure on the host itself.
    pub fn hold_at(&self, ceiling: Option<u32>) -> Option<Scaled> {
        self.adaptive.borrow_mut().set_ceiling(ceiling)
    }

    /// How often it went up and down.
    pub fn changes(&self) -> (u64, u64) {
        self.adaptive.borrow().changes()
    }
}

impl<R: Clone> Clone for AdaptiveLimit<R> {
    fn clone(&self) -> Self {
        Self {
            runtime: self.runtime.clone(),
            adaptive: Rc::clone(&self.adaptive),
        }
    }
}

impl<R> fmt::Debug for AdaptiveLimit<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveLimit")
            .field("limit", &self.adaptive.borrow().limit())
            .finish_non_exhaustive()
    }
}
