//! What a pool counts.

/// What happened so far, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that were let in: granted, queued or parked.
    pub accepted: u64,
    /// Starts.
    pub started: u64,
    /// Ends with success.
    pub completed: u64,
    /// Ends with failure, time-outs not included.
    pub failed: u64,
    /// Left while waiting or running, by the caller's wish.
    pub cancelled: u64,
    /// Sacrificed by an overflow rule.
    pub dropped: u64,
    /// Refused by a full queue.
    pub rejected: u64,
    /// Refused by a rate or a breaker.
    pub blocked: u64,
    /// Refused because they could not start before their deadline.
    pub shed: u64,
    /// Gave up waiting.
    pub queue_timeouts: u64,
    /// Ran out of time.
    pub task_timeouts: u64,
    /// Leases that were released after they had been taken back.
    pub late_releases: u64,
    /// The most tasks that ever ran at once.
    pub peak_active: u32,
}
