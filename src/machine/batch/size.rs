//! How many items a batch takes.

use crate::machine::within::within;
use std::num::NonZeroU32;
use std::time::Duration;

/// A number, or one that finds itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchSize {
    /// Always so many.
    Fixed(NonZeroU32),
    /// As many as take about a target time.
    Adaptive(AdaptiveSize),
}

impl Default for BatchSize {
    fn default() -> Self {
        Self::Fixed(const { NonZeroU32::new(100).unwrap() })
    }
}

/// A size that follows what batches take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdaptiveSize {
    /// What it begins with: 100.
    pub initial: NonZeroU32,
    /// Never fewer: 1.
    pub min: NonZeroU32,
    /// Never more: 1,000.
    pub max: NonZeroU32,
    /// How long a batch should take: 1 s, long enough to be worth its cost and short enough to see it move.
    pub target: Duration,
}

impl Default for AdaptiveSize {
    fn default() -> Self {
        Self {
            initial: const { NonZeroU32::new(100).unwrap() },
            min: NonZeroU32::MIN,
            max: const { NonZeroU32::new(1000).unwrap() },
            target: Duration::from_secs(1),
        }
    }
}

/// The size of the next batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizer {
    rule: BatchSize,
    // With its fraction, or rounding would hold it back one step before its goal.
    size: f64,
}

impl Sizer {
    pub(super) fn new(rule: BatchSize) -> Self {
        let size = match rule {
            BatchSize::Fixed(size) => f64::from(size.get()),
            BatchSize::Adaptive(rule) => rule.clamp(f64::from(rule.initial.get())),
        };
        Self { rule, size }
    }

    pub(super) fn size(&self) -> NonZeroU32 {
        NonZeroU32::new(self.size.round() as u32).unwrap_or(NonZeroU32::MIN)
    }

    /// A batch has ended. The size moves half the way to what would have met the target, and at most doubles or halves.
    pub(super) fn ended(&mut self, items: u32, failed: u32, took: Duration) {
        let BatchSize::Adaptive(rule) = self.rule else {
            return;
        };
        if failed * 2 > items {
            return self.halve();
        }
        // A clock that stands still (deployed isolates between I/O) says nothing about how long it took.
        if took.is_zero() {
            return;
        }
        let meets = f64::from(items) * (rule.target.as_secs_f64() / took.as_secs_f64());
        let size = self.size;
        // The last batch of a source is short, and batches of before a change have another size: neither may pull the size down.
        let goal = within(meets, size / 2.0, size * 2.0);
        self.size = rule.clamp((size + goal) / 2.0);
    }

    /// Pressure has begun.
    pub(super) fn pressed(&mut self) {
        self.halve();
    }

    fn halve(&mut self) {
        if let BatchSize::Adaptive(rule) = self.rule {
            self.size = rule.clamp(self.size / 2.0);
        }
    }
}

impl AdaptiveSize {
    // The upper bound wins where the two contradict each other.
    fn clamp(&self, size: f64) -> f64 {
        size.max(f64::from(self.min.get())).min(f64::from(self.max.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn adaptive() -> Sizer {
        Sizer::new(BatchSize::Adaptive(AdaptiveSize::default()))
    }

    fn after(sizer: &mut Sizer, batches: u32, per_item: Duration) -> u32 {
        for _ in 0..batches {
            let items = sizer.size().get();
            sizer.ended(items, 0, per_item * items);
        }
        sizer.size().get()
    }

    #[test]
    fn the_size_finds_what_takes_the_target_time() {
        let mut sizer = adaptive();
        let slow = after(&mut sizer, 30, Duration::from_millis(50));
        assert!((19..=21).contains(&slow), "{slow}");
        let fast = after(&mut sizer, 30, Duration::from_millis(2));
        assert!((490..=510).contains(&fast), "{fast}");
    }

    #[test]
    fn the_size_stays_within_its_bounds() {
        let mut sizer = adaptive();
        assert_eq!(after(&mut sizer, 50, Duration::from_micros(1)), 1000);
        assert_eq!(after(&mut sizer, 50, Duration::from_secs(100)), 1);
    }

    #[test]
    fn failures_and_pressure_halve_it_and_a_clock_that_stands_still_does_not_move_it() {
        let mut sizer = adaptive();
        sizer.ended(100, 51, Duration::from_secs(1));
        assert_eq!(sizer.size().get(), 50);
        sizer.pressed();
        assert_eq!(sizer.size().get(), 25);
        sizer.ended(25, 0, Duration::ZERO);
        assert_eq!(sizer.size().get(), 25);
    }

    #[test]
    fn a_fixed_size_stays() {
        let mut sizer = Sizer::new(BatchSize::default());
        sizer.ended(100, 100, Duration::from_secs(9));
        sizer.pressed();
        assert_eq!(sizer.size().get(), 100);
    }
}
