//! What a cache is told and what it answers.

use crate::machine::ticket::Ticket;
use crate::machine::wakes::Refusal;
use std::num::NonZeroU64;
use std::time::Duration;

/// How a cache behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheConfig {
    /// How much it holds, in the unit of the weights; entries when every weight is 1. `None`, the default: no bound.
    pub max: Option<NonZeroU64>,
    /// How long a value is fresh: 1 h, long enough to help and short enough to heal by itself.
    pub ttl: Duration,
    /// How long after that it may still be served while somebody loads it anew: 0.
    pub stale_for: Duration,
    /// How long a failed load is remembered and answered with the same failure: 0, so that the next caller tries again.
    pub negative_ttl: Duration,
    /// How long a loader may take before the load passes to the next waiter: no limit.
    pub load_timeout: Option<Duration>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            max: None,
            ttl: Duration::from_secs(3600),
            stale_for: Duration::ZERO,
            negative_ttl: Duration::ZERO,
            load_timeout: None,
        }
    }
}

/// A key as it crosses: the id under which the host interned it, and a hash of its name that is the same whenever the
/// same name is interned again, under whatever id (eviction remembers names that have long left).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// The host's id, free to be given to another name once it is reported [`Forgotten`](Gone::Forgotten).
    pub id: u32,
    /// 32 well spread bits.
    pub hash: u32,
}

/// What is stored under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Store<'a> {
    /// Its share of the bound; 0 counts as 1.
    pub weight: u32,
    /// How long it is fresh; `None`: as the cache is configured.
    pub ttl: Option<Duration>,
    /// What it was computed from: keys of this cache or mere tags.
    pub depends_on: &'a [u32],
}

impl Default for Store<'_> {
    fn default() -> Self {
        Self {
            weight: 1,
            ttl: None,
            depends_on: &[],
        }
    }
}

/// What a look at a key finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// A value within its time.
    Fresh,
    /// A value past its time that may still be served.
    Stale,
    /// A failure that is remembered.
    Negative,
    /// Nothing.
    Missing,
}

/// What somebody who wants a value loaded has to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Load {
    /// Take the value that is there.
    Fresh,
    /// Take the value that is there; with a ticket, also load it anew in the background.
    Stale(Option<Ticket>),
    /// Fail as the last load failed.
    Negative,
    /// Load it. Ends with [`loaded`](super::Cache::loaded), [`failed`](super::Cache::failed) or [`abandon`](super::Cache::abandon).
    Run(Ticket),
    /// Somebody else loads it: wait for [`Why::Ready`](crate::machine::wakes::Why::Ready) or [`Why::Failed`](crate::machine::wakes::Why::Failed), whose value or failure the loader brought,
    /// or for [`Why::Granted`](crate::machine::wakes::Why::Granted): the load is yours now.
    Wait(Ticket),
    /// So many wait that there is no number left for one more.
    Refused(Refusal),
}

/// Whether a value was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stored {
    /// It is in the cache (if it was evicted at once, [`pop_gone`](super::Cache::pop_gone) says so).
    Kept,
    /// It is heavier than the whole cache; what was under the key before is gone too.
    TooHeavy,
    /// The key was written or invalidated, or something it was computed from was, after the load began: whoever waited for
    /// it gets it, but it is not kept.
    Outdated,
}

/// What the host should drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// Its value had to make room.
    Evicted,
    /// Its value's time was over.
    Expired,
    /// Its value, or one it was computed from, was invalidated, deleted or cleared.
    Invalidated,
    /// Nothing is known under this id any more: the host may give it to another name.
    Forgotten,
}

/// What a cache counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CacheStats {
    /// Looks that found a value, stale ones among them.
    pub hits: u64,
    /// Looks that found none.
    pub misses: u64,
    /// Hits whose value was past its time.
    pub stale_hits: u64,
    /// Looks that found a remembered failure.
    pub negative_hits: u64,
    /// Values that had to make room.
    pub evictions: u64,
    /// Values whose time was over.
    pub expirations: u64,
    /// Values that were invalidated, deleted or cleared.
    pub invalidations: u64,
    /// Loads begun, refreshes among them.
    pub loads: u64,
    /// Loads that failed.
    pub load_failures: u64,
    /// Callers who shared somebody else's load.
    pub coalesced: u64,
}
