//! What came of the last calls, by count or by time: the evidence for a breaker's ratios.

use crate::machine::time::micros;
use core::time::Duration;

/// Which calls count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The last so many calls.
    Count(u32),
    /// The calls of the last so long, in ten slices: the oldest tenth leaves at once.
    Time(Duration),
}

/// How many calls, and what was wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Totals {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

/// Calls within a window, counted. Times are microseconds that never run backwards.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    totals: Totals,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    Calls {
        ring: Vec<u8>,
        oldest: usize,
        size: usize,
    },
    Slices {
        slices: [Totals; SLICES],
        length: u64,
        newest: u64,
    },
}

const SLICES: usize = 10;
const FAILED: u8 = 1;
const SLOW: u8 = 2;

impl Tally {
    pub(super) fn new(window: Window) -> Self {
        let kept = match window {
            Window::Count(size) => Kept::Calls {
                ring: Vec::new(),
                oldest: 0,
                size: (size as usize).max(1),
            },
            Window::Time(length) => Kept::Slices {
                slices: [Totals::default(); SLICES],
                length: micros(length).div_ceil(SLICES as u64).max(1),
                newest: 0,
            },
        };
        let totals = Totals::default();
        Self { totals, kept }
    }

    pub(super) fn add(&mut self, now: u64, failed: bool, slow: bool) {
        self.forget(now);
        let call = Totals {
            calls: 1,
            failed: u32::from(failed),
            slow: u32::from(slow),
        };
        self.totals.add(call);
        match &mut self.kept {
            Kept::Calls { ring, oldest, size } => {
                let flags = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
                if ring.len() < *size {
                    ring.push(flags);
                } else if let Some(gone) = ring.get_mut(*oldest) {
                    self.totals.remove(Totals {
                        calls: 1,
                        failed: u32::from(*gone & FAILED != 0),
                        slow: u32::from(*gone & SLOW != 0),
                    });
                    *gone = flags;
                    *oldest = (*oldest + 1) % *size;
                }
            }
            Kept::Slices { slices, newest, .. } => slices[(*newest % SLICES as u64) as usize].add(call),
        }
    }

    pub(super) fn totals(&mut self, now: u64) -> Totals {
        self.forget(now);
        self.totals
    }

    fn forget(&mut self, now: u64) {
        let Kept::Slices {
            slices,
            length,
            newest,
        } = &mut self.kept
        else {
            return;
        };
        let current = now / *length;
        let passed = current.saturating_sub(*newest).min(SLICES as u64);
        *newest = current.max(*newest);
        for back in 0..passed {
            let slice = &mut slices[((*newest - back) % SLICES as u64) as usize];
            self.totals.remove(core::mem::take(slice));
        }
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }

    fn remove(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn sum(calls: &[(u64, bool, bool)]) -> Totals {
        Totals {
            calls: calls.len() as u32,
            failed: calls.iter().filter(|call| call.1).count() as u32,
            slow: calls.iter().filter(|call| call.2).count() as u32,
        }
    }

    proptest! {
        #[test]
        fn a_count_window_holds_the_last_calls(
            size in 1u32..20, calls in prop::collection::vec(any::<(bool, bool)>(), 0..60),
        ) {
            let mut tally = Tally::new(Window::Count(size));
            let calls: Vec<_> = calls.into_iter().map(|(failed, slow)| (0, failed, slow)).collect();
            for n in 0..calls.len() {
                tally.add(0, calls[n].1, calls[n].2);
                let first = (n + 1).saturating_sub(size as usize);
                prop_assert_eq!(tally.totals(0), sum(&calls[first..=n]));
            }
        }

        #[test]
        fn a_time_window_holds_at_least_nine_tenths_and_nothing_older(
            calls in prop::collection::vec((0u64..400, any::<bool>(), any::<bool>()), 0..60), idle in 0u64..3000,
        ) {
            let mut tally = Tally::new(Window::Time(Duration::from_micros(1000)));
            let (mut now, mut all) = (0, Vec::new());
            for (step, failed, slow) in calls {
                now += step;
                tally.add(now, failed, slow);
                all.push((now, failed, slow));
            }
            now += idle;
            // Slices of 100 end on multiples of 100.
            let from = (now / 100 * 100).saturating_sub(900);
            let young: Vec<_> = all.into_iter().filter(|call| call.0 >= from).collect();
            prop_assert_eq!(tally.totals(now), sum(&young));
        }
    }
}
