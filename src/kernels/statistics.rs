//! What a column of numbers, or a heap of bytes, looks like: moments, quantiles, histograms.
//!
//! Every result can be merged with that of another part of the same data, so that the parts can be worked on anywhere.

/// Count, bounds and moments of numbers. What is not finite is counted and left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Finite numbers.
    pub count: u64,
    /// Others.
    pub skipped: u64,
    /// The smallest; infinity where there is none.
    pub min: f64,
    /// The largest; negative infinity where there is none.
    pub max: f64,
    /// The mean; 0 where there are none.
    pub mean: f64,
    /// The sum of squares of differences from the mean.
    pub squares: f64,
}

/// Nothing yet.
impl Default for Summary {
    fn default() -> Self {
        Self {
            count: 0,
            skipped: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            mean: 0.0,
            squares: 0.0,
        }
    }
}

/// Numbers summed before they are merged into the whole: enough for lanes to matter, few enough to stay in the cache for the
/// second look.
const BLOCK: usize = 2048;
const LANES: usize = 4;

impl Summary {
    /// The summary of `values`.
    ///
    /// # Examples
    /// ```
    /// use tidegate::kernels::statistics::Summary;
    ///
    /// let summary = Summary::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0, f64::NAN]);
    /// assert_eq!((summary.mean, summary.deviation()), (5.0, 2.0));
    /// assert_eq!((summary.count, summary.skipped), (8, 1));
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let blocks = values.chunks(BLOCK).map(Self::of_block);
        blocks.fold(Self::default(), |sum, block| sum.merged(&block))
    }

    /// The summary of both (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    /// variances", 1979).
    #[must_use]
    pub fn merged(&self, other: &Self) -> Self {
        let skipped = self.skipped + other.skipped;
        if other.count == 0 {
            return Self { skipped, ..*self };
        }
        if self.count == 0 {
            return Self { skipped, ..*other };
        }
        let (ours, theirs) = (self.count as f64, other.count as f64);
        let (apart, all) = (other.mean - self.mean, ours + theirs);
        Self {
            count: self.count + other.count,
            skipped,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            mean: self.mean + apart * (theirs / all),
            squares: self.squares + other.squares + apart * apart * (ours * theirs / all),
        }
    }

    /// The variance of the numbers as a whole population.
    pub fn variance(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.squares / self.count as f64
    }

    /// The standard deviation of the numbers as a whole population.
    pub fn deviation(&self) -> f64 {
        self.variance().sqrt()
    }

    fn of_block(values: &[f64]) -> Self {
        // What is not finite makes a NaN of its product with 0.
        let dirt: f64 = lanes(values, 0.0, |sum, value| sum + value * 0.0, |a, b| a + b);
        if dirt != 0.0 {
            let clean: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
            let skipped = (values.len() - clean.len()) as u64;
            return Self {
                skipped,
                ..Self::of_finite(&clean)
            };
        }
        Self::of_finite(values)
    }

    fn of_finite(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let sum = lanes(values, 0.0, |sum, value| sum + value, |a, b| a + b);
        let mean = sum / values.len() as f64;
        let apart = |sum: f64, value: f64| sum + (value - mean) * (value - mean);
        Self {
            count: values.len() as u64,
            skipped: 0,
            // Comparisons, not `min` and `max`: those have to think of NaN, and there is none here.
            min: lanes(values, f64::INFINITY, lesser, lesser),
            max: lanes(values, f64::NEG_INFINITY, greater, greater),
            mean,
            squares: lanes(values, 0.0, apart, |a, b| a + b),
        }
    }
}

fn lesser(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

fn greater(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

/// Folds in four lanes, which do not wait for one another.
#[inline(always)]
fn lanes(values: &[f64], start: f64, step: impl Fn(f64, f64) -> f64, join: impl Fn(f64, f64) -> f64) -> f64 {
    let (groups, rest) = values.as_chunks::<LANES>();
    let mut held = [start; LANES];
    for group in groups {
        for (held, value) in held.iter_mut().zip(group) {
            *held = step(*held, *value);
        }
    }
    let rest = rest.iter().fold(start, |held, value| step(held, *value));
    held.into_iter().fold(rest, join)
}

/// The quantiles `shares` (0 to 1) of `values`, by the nearest rank; what is not finite is left out. NaN where nothing is left.
pub fn quantiles(values: &[f64], shares: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |share: &f64| {
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
        let last = sorted.len().checked_sub(1)?;
        sorted.get((rank - 1).min(last)).copied()
    };
    shares.iter().map(|share| at(share).unwrap_or(f64::NAN)).collect()
}

/// How many numbers fall into each of several bins of equal width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Of each bin, from the lowest; the last one includes the upper bound.
    pub counts: Vec<u32>,
    /// Below the lowest bin.
    pub below: u32,
    /// Above the highest.
    pub above: u32,
    /// Neither: NaN.
    pub skipped: u32,
}

impl Histogram {
    /// The histogram of `values` in `bins` bins from `min` to `max`. At least one bin; where `min` is not below `max`, what equals
    /// `min` falls into the first.
    ///
    /// # Examples
    /// ```
    /// use tidegate::kernels::statistics::Histogram;
    ///
    /// let histogram = Histogram::of(&[0.0, 0.4, 1.0, 1.9, 2.0, 3.0], 0.0, 2.0, 2);
    /// assert_eq!((histogram.counts, histogram.above), (vec![2, 3], 1));
    /// ```
    pub fn of(values: &[f64], min: f64, max: f64, bins: usize) -> Self {
        let bins = bins.max(1);
        let mut histogram = Self {
            counts: vec![0; bins],
            below: 0,
            above: 0,
            skipped: 0,
        };
        let scale = if max > min { bins as f64 / (max - min) } else { 0.0 };
        for value in values {
            let count = if *value < min {
                &mut histogram.below
            } else if *value > max {
                &mut histogram.above
            } else if let Some(count) = (!value.is_nan())
                .then(|| ((value - min) * scale) as usize)
                .and_then(|bin| histogram.counts.get_mut(bin.min(bins - 1)))
            {
                count
            } else {
                &mut histogram.skipped
            };
            *count += 1;
        }
        histogram
    }
}

/// How often each byte occurs.
///
/// Four tables in turn: a byte that follows itself would have to wait for its own count to be written.
pub fn byte_histogram(bytes: &[u8]) -> [u32; 256] {
    let mut tables = [[0_u32; 256]; LANES];
    let (groups, rest) = bytes.as_chunks::<LANES>();
    for group in groups {
        for (table, byte) in tables.iter_mut().zip(group) {
            table[usize::from(*byte)] += 1;
        }
    }
    for byte in rest {
        tables[0][usize::from(*byte)] += 1;
    }
    core::array::from_fn(|byte| tables.iter().map(|table| table[byte]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-9 * (1.0 + one.abs().max(other.abs()))
    }

    #[test]
    fn nothing_has_no_mean_and_no_bounds() {
        assert_eq!(Summary::of(&[]), Summary::default());
        assert_eq!(
            (
                Summary::default().variance(),
                Summary::of(&[f64::INFINITY]).skipped
            ),
            (0.0, 1)
        );
    }

    #[test]
    fn a_large_offset_costs_no_digits() {
        let values: Vec<f64> = (0..10_000).map(|n| 1e9 + f64::from(n % 2)).collect();
        let summary = Summary::of(&values);
        assert!(close(summary.variance(), 0.25), "{}", summary.variance());
    }

    #[test]
    fn quantiles_are_values_that_are_there() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(
            quantiles(&values, &[0.0, 0.5, 0.99, 1.0]),
            [1.0, 50.0, 99.0, 100.0]
        );
        assert!(quantiles(&[f64::NAN], &[0.5])[0].is_nan());
    }

    #[test]
    fn what_lies_outside_the_bins_is_counted_beside_them() {
        let histogram = Histogram::of(&[-1.0, 0.0, 0.5, 1.0, 1.1, f64::NAN, f64::INFINITY], 0.0, 1.0, 4);
        assert_eq!(histogram.counts, [1, 0, 1, 1]);
        assert_eq!((histogram.below, histogram.above, histogram.skipped), (1, 2, 1));
        assert_eq!(Histogram::of(&[5.0, 6.0], 5.0, 5.0, 0).counts, [1]);
    }

    proptest! {
        #[test]
        fn parts_merge_into_the_whole(values in proptest::collection::vec(-1e6_f64..1e6, 0..9000), at in any::<prop::sample::Index>()) {
            let at = at.index(values.len() + 1);
            let whole = Summary::of(&values);
            let merged = Summary::of(&values[..at]).merged(&Summary::of(&values[at..]));
            prop_assert_eq!((merged.count, merged.min, merged.max), (whole.count, whole.min, whole.max));
            prop_assert!(close(merged.mean, whole.mean) && close(merged.squares, whole.squares));
            let plain = values.iter().sum::<f64>() / (values.len().max(1) as f64);
            prop_assert!(close(whole.mean, plain));
        }

        #[test]
        fn every_byte_is_counted_once(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let counts = byte_histogram(&bytes);
            for (byte, count) in counts.iter().enumerate() {
                prop_assert_eq!(*count as usize, bytes.iter().filter(|other| usize::from(**other) == byte).count());
            }
        }
    }
}
