//! A sliding window: at most `limit` in *any* window of `per`, not only in those that start with a tick.
//!
//! The log of what was taken when is the only exact way to keep that promise; a counter that is weighted between two
//! fixed windows lets a burst at their border through. The log is bounded: takes at one moment share an entry, and
//! above 1,024 a window those within a thousandth of `per` share one that counts from its *latest* take. So the
//! promise holds exactly, memory is at most 24 KB, and a large limit frees its tokens at most `per ÷ 1,024` late.

use super::config::ConfigError;
use super::time::micros;
use core::time::Duration;
use std::collections::VecDeque;

/// At most `limit` in any window of `per`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlidingWindowConfig {
    limit: u32,
    per: Duration,
}

impl SlidingWindowConfig {
    /// Reads the options.
    ///
    /// # Errors
    /// One sentence if `limit` is 0, or `per` is nothing or beyond a thousand years.
    pub fn new(limit: u32, per: Duration) -> Result<Self, ConfigError> {
        if limit == 0 {
            return Err(ConfigError::integer("limit", "an integer ≥ 1", 0));
        }
        let per = super::rate::period(per)?;
        Ok(Self { limit, per })
    }

    /// The most that a window can hold.
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// How long the window is.
    pub const fn per(&self) -> Duration {
        self.per
    }
}

/// The window. Times are microseconds of a clock that never runs backwards (see [`Steady`](super::steady::Steady)).
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    config: SlidingWindowConfig,
    per: u64,
    grain: u64,
    log: VecDeque<Entry>,
    taken: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    began: u64,
    at: u64,
    cost: u32,
}

const ENTRIES: u32 = 1024;

impl SlidingWindow {
    /// A window with nothing in it; it allocates with the first take.
    pub fn new(config: SlidingWindowConfig) -> Self {
        let per = micros(config.per);
        Self {
            config,
            per,
            grain: if config.limit > ENTRIES {
                per / u64::from(ENTRIES)
            } else {
                0
            },
            log: VecDeque::new(),
            taken: 0,
        }
    }

    /// What the window was made from.
    pub const fn config(&self) -> &SlidingWindowConfig {
        &self.config
    }

    /// When there is room for `cost` if nobody takes any before; not after `now` if there is room already.
    /// The caller has seen to it that `cost` is at most the limit.
    pub fn ready_at(&mut self, now: u64, cost: u32) -> u64 {
        self.expire(now);
        let free = self.config.limit.saturating_sub(self.taken);
        let mut missing = cost.saturating_sub(free);
        for entry in &self.log {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(entry.cost);
            if missing == 0 {
                return entry.at.saturating_add(self.per);
            }
        }
        now
    }

    /// When there is room for `cost` once `ahead` was taken, each as soon as there was room for it.
    pub fn ready_after(&mut self, now: u64, ahead: u64, cost: u32) -> u64 {
        let total = ahead.saturating_add(u64::from(cost));
        let limit = u64::from(self.config.limit);
        // Windows repeat: what is taken when all of this one is gone has room a whole period after its own room here.
        let (windows, within) = match total.checked_sub(1) {
            Some(before) => (before / limit, (before % limit + 1) as u32),
            None => (0, 0),
        };
        let first = self.ready_at(now, within);
        first.saturating_add(windows.saturating_mul(self.per))
    }

    /// Takes `cost`, for which there is room.
    pub fn take(&mut self, now: u64, cost: u32) {
        self.taken = self.taken.saturating_add(cost);
        match self.log.back_mut() {
            Some(newest) if now <= newest.began.saturating_add(self.grain) => {
                newest.at = now;
                newest.cost = newest.cost.saturating_add(cost);
            }
            _ => self.log.push_back(Entry {
                began: now,
                at: now,
                cost,
            }),
        }
    }

    /// Gives back what was taken at `taken_at` and not used.
    pub fn refund(&mut self, now: u64, taken_at: u64, cost: u32) {
        self.expire(now);
        if taken_at.saturating_add(self.per) <= now {
            return;
        }
        let mut left = cost;
        // Its own entry first. What that does not hold, if the clock was turned meanwhile, comes from the oldest:
        // so at worst room comes late, never early.
        let own = self.log.partition_point(|entry| entry.at < taken_at);
        left -= self.take_back(own, left);
        while left > 0 && !self.log.is_empty() {
            left -= self.take_back(0, left);
        }
    }

    /// Takes all the room there is at `now`.
    pub fn empty(&mut self, now: u64) {
        // One entry for everything: what was taken before leaves the window no later than this.
        self.log.clear();
        self.taken = 0;
        self.take(now, self.config.limit);
    }

    /// How much room there is.
    pub fn available(&mut self, now: u64) -> u32 {
        self.expire(now);
        self.config.limit.saturating_sub(self.taken)
    }

    fn expire(&mut self, now: u64) {
        while let Some(oldest) = self.log.front() {
            if oldest.at.saturating_add(self.per) > now {
                break;
            }
            self.taken = self.taken.saturating_sub(oldest.cost);
            self.log.pop_front();
        }
    }

    /// Takes up to `most` out of one entry and says how much it was.
    fn take_back(&mut self, index: usize, most: u32) -> u32 {
        let Some(entry) = self.log.get_mut(index) else {
            return 0;
        };
        let back = entry.cost.min(most);
        entry.cost -= back;
        self.taken = self.taken.saturating_sub(back);
        if entry.cost == 0 {
            self.log.remove(index);
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn window(limit: u32, per_micros: u64) -> SlidingWindow {
        let per = Duration::from_micros(per_micros);
        SlidingWindow::new(SlidingWindowConfig::new(limit, per).unwrap())
    }

    fn try_take(window: &mut SlidingWindow, now: u64, cost: u32) -> bool {
        let ready = window.ready_at(now, cost) <= now;
        if ready {
            window.take(now, cost);
        }
        ready
    }

    #[test]
    fn a_burst_at_the_border_of_two_windows_is_not_let_through() {
        let mut window = window(10, 1000);
        assert!(try_take(&mut window, 990, 10));
        assert!(!try_take(&mut window, 1010, 1));
        assert!(!try_take(&mut window, 1989, 1));
        assert!(try_take(&mut window, 1990, 10));
    }

    #[test]
    fn memory_is_bounded_whatever_the_limit() {
        let mut window = window(1_000_000, 1_000_000);
        for now in 0..3_000_000 {
            try_take(&mut window, now, 1);
        }
        assert!(window.log.len() <= ENTRIES as usize + 2, "{}", window.log.len());
    }

    #[test]
    fn takes_and_refunds_leave_nothing_behind() {
        let mut window = window(5, 1_000_000);
        for now in 0..10_000 {
            window.take(now, 1);
            window.refund(now, now, 1);
        }
        assert!(window.log.is_empty());
        assert_eq!(window.available(10_000), 5);
    }

    #[test]
    fn a_take_after_a_refund_does_not_join_an_older_entry() {
        let mut window = window(3, 1000);
        window.take(0, 2);
        window.take(1, 1);
        window.refund(1, 1, 1);
        window.take(1, 1);
        assert_eq!(window.available(1000), 2);
    }

    #[test]
    fn takes_at_one_moment_share_an_entry() {
        let mut window = window(5, 1000);
        (0..5).for_each(|_| window.take(7, 1));
        assert_eq!(window.log.len(), 1);
    }

    #[test]
    fn a_refund_of_what_has_left_the_window_gives_nothing_back() {
        let mut window = window(2, 1000);
        window.take(0, 1);
        window.take(500, 1);
        window.refund(1000, 0, 1);
        assert_eq!(window.available(1000), 1);
    }

    #[test]
    fn a_refund_of_more_than_its_entry_holds_takes_the_rest_from_the_oldest() {
        let mut window = window(4, 1000);
        window.take(0, 2);
        window.take(500, 1);
        window.take(600, 1);
        window.refund(700, 500, 2);
        assert_eq!(window.available(700), 2);
        assert_eq!(window.available(1000), 3, "one of the oldest was left");
        window.refund(1001, 1001, 100);
        assert_eq!(window.available(1001), 4);
    }

    #[test]
    fn emptied_it_is_empty_for_a_whole_period() {
        let mut window = window(5, 1000);
        window.take(0, 3);
        window.empty(10);
        assert_eq!((window.available(1009), window.available(1010)), (0, 5));
    }

    #[test]
    fn a_refund_gives_back_its_own_take_and_no_younger_one() {
        let mut window = window(2, 1000);
        window.take(0, 1);
        window.take(500, 1);
        window.refund(600, 0, 1);
        assert_eq!(window.available(600), 1);
        assert_eq!(window.ready_at(600, 2), 1500);
    }

    proptest! {
        #[test]
        fn any_window_holds_at_most_the_limit_and_room_comes_on_the_microsecond(
            limit in 1u32..30, per in 1u64..3000,
            ops in prop::collection::vec((0u64..700, 1u32..30, any::<bool>()), 1..80),
        ) {
            let mut window = window(limit, per);
            let (mut now, mut takes) = (0, Vec::<(u64, u32)>::new());
            for (step, cost, refund) in ops {
                now += step;
                let cost = cost.min(limit);
                let taken = |at: u64| takes.iter().filter(|(t, _)| *t <= at && t + per > at).map(|(_, c)| c).sum::<u32>();
                let ready = window.ready_at(now, cost);
                prop_assert!(taken(ready) + cost <= limit);
                prop_assert!(ready == now || taken(ready - 1) + cost > limit);
                if try_take(&mut window, now, cost) {
                    takes.push((now, cost));
                    if refund {
                        window.refund(now, now, cost);
                        takes.pop();
                    }
                }
                for (start, _) in &takes {
                    let held: u32 = takes.iter().filter(|(t, _)| t >= start && *t < start + per).map(|(_, c)| c).sum();
                    prop_assert!(held <= limit);
                }
            }
        }

        #[test]
        fn a_large_limit_keeps_the_promise_and_is_late_by_a_thousandth_at_most(
            steps in prop::collection::vec((0u64..3000, 1u32..2000), 1..200),
        ) {
            let (limit, per) = (5000, 102_400);
            let mut window = window(limit, per);
            let (mut now, mut takes) = (0, Vec::<(u64, u32)>::new());
            for (step, cost) in steps {
                now += step;
                let taken = |from: u64| takes.iter().filter(|(t, _)| t + per > from).map(|(_, c)| c).sum::<u32>();
                if try_take(&mut window, now, cost) {
                    prop_assert!(taken(now) + cost <= limit);
                    takes.push((now, cost));
                } else {
                    prop_assert!(taken(now.saturating_sub(per / u64::from(ENTRIES))) + cost > limit);
                }
            }
        }
    }
}
