//! What a caller may say about one task.

use super::owner::Owner;
use super::task::TaskContext;
use crate::machine::permits::{Ask, AtEnd, Patience};
use crate::machine::time::{Instant, micros};
use std::rc::Rc;
use std::time::Duration;

/// What a caller says about one task. The default is one slot, one token, no name, no priority and no limit.
///
/// ```
/// use std::time::Duration;
/// use tidegate::RunOptions;
///
/// let options = RunOptions::new().name("probe").priority(5).timeout(Duration::from_secs(2));
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct RunOptions {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) parent: Option<Owner>,
    weight: u32,
    cost: u32,
    priority: i32,
    key: u32,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            name: None,
            wait_timeout: None,
            timeout: None,
            deadline: None,
            parent: None,
            weight: 1,
            cost: 1,
            priority: 0,
            key: 0,
        }
    }
}

impl RunOptions {
    /// One slot, one token, no name, no priority and no limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name by which lists and errors know the task.
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Slots it takes while it runs; 0 counts as 1.
    pub fn weight(mut self, slots: u32) -> Self {
        self.weight = slots.max(1);
        self
    }

    /// Tokens it takes from the rates.
    pub fn cost(mut self, tokens: u32) -> Self {
        self.cost = tokens;
        self
    }

    /// Higher first, −100 to 100; beyond is cut off.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority.clamp(-100, 100);
        self
    }

    /// Whose turn it takes: keys take turns, however many tasks each of them queues. Keys are told apart by a hash of 32 bits; two that
    /// collide share their turns and nothing else.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        // FNV-1a (Fowler, Noll and Vo); 0 means no key.
        let hash = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        self.key = key.as_ref().as_bytes().iter().fold(0x811C_9DC5, hash).max(1);
        self
    }

    /// How long it is willing to wait for its start; as long as it takes unless set here or by the pool.
    pub fn wait_timeout(mut self, wait: Duration) -> Self {
        self.wait_timeout = Some(wait);
        self
    }

    /// How long one attempt may run from its start; as long as it takes unless set here or by the pool.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// When all of it must be over, waiting included, by the runtime's clock. What cannot start before is refused at once.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Names the task that waits for this one: it inherits that one's deadline, and if the parent would then wait for ever, because
    /// this one waits in turn for what the parent or its like hold, it is refused with
    /// [`AcquireError::Deadlock`](super::AcquireError::Deadlock) at once. To name a parent is to say that it does not end before
    /// this task ends: a task that only submits others and goes on is not their parent.
    pub fn parent(mut self, parent: &TaskContext) -> Self {
        self.parent = Some(Owner::from(parent));
        self.deadline = match (self.deadline, parent.deadline) {
            (Some(own), Some(inherited)) => Some(own.min(inherited)),
            (own, inherited) => own.or(inherited),
        };
        self
    }

    /// Names an [`Owner`] that waits for this task, as [`parent`](Self::parent) names a task.
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.parent = Some(owner);
        self
    }

    pub(crate) fn ask(&self, at_end: AtEnd) -> Ask {
        Ask {
            weight: self.weight,
            cost: self.cost,
            priority: self.priority,
            key: self.key,
            patience: self
                .wait_timeout
                .map_or(Patience::Forever, |wait| Patience::Micros(micros(wait))),
            deadline: self.deadline.unwrap_or(Instant::FAR_FUTURE),
            run_for: self.timeout.map_or(u64::MAX, micros),
            at_end,
        }
    }
}
