//! A histogram of durations whose quantiles are within 1 % of the value, in bounded memory.
//!
//! Log-linear buckets as in HdrHistogram (Gil Tene, hdrhistogram.org): every power of two is cut into 64 buckets of
//! one width, so the middle of a bucket is at most 1/128 away from anything in it. The 64 counts of a power of two
//! are allocated when the first value falls there: what a pool measures usually spans a dozen, 6 KB, and nothing can
//! take more than 59, 30 KB.

/// Counts of `u64` values, microseconds by convention.
#[derive(Clone, Debug)]
pub struct Histogram {
    chunks: [Option<Box<Chunk>>; CHUNKS],
    count: u64,
    sum: u64,
    min: u64,
    max: u64,
}

type Chunk = [u64; SUB_BUCKETS];

const SUB_BITS: u32 = 6;
const SUB_BUCKETS: usize = 1 << SUB_BITS;
// Values below 64 are exact and share the first chunk; then one chunk for each of the exponents 6 to 63.
const CHUNKS: usize = 64 - SUB_BITS as usize + 1;

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram; it allocates with the first value.
    pub const fn new() -> Self {
        Self {
            chunks: [const { None }; CHUNKS],
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }

    /// Counts a value.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn record(&mut self, value: u64) {
        self.record_many(value, 1);
    }

    /// Counts a value so many times, at least once.
    #[cfg_attr(feature = "bindings", inline(always))]
    pub fn record_many(&mut self, value: u64, times: u64) {
        let (chunk, bucket) = place(value);
        let counts = self.chunks[chunk].get_or_insert_with(|| Box::new([0; SUB_BUCKETS]));
        counts[bucket] += times;
        self.count += times;
        self.sum = self.sum.saturating_add(value.saturating_mul(times));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The value that the share `q` of all values does not exceed, within 1 %; `q` 0 is the least and 1 the greatest
    /// value exactly. `None` while nothing was recorded.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        // `as` saturates and turns NaN into 0, so the rank is in range whatever comes in.
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == 1 && q <= 0.0 {
            return Some(self.min);
        }
        if rank == self.count {
            return Some(self.max);
        }
        let mut seen = 0;
        for (chunk, counts) in self.chunks.iter().enumerate() {
            let Some(counts) = counts else { continue };
            for (bucket, count) in counts.iter().enumerate() {
                seen = count.saturating_add(seen);
                if seen >= rank {
                    return Some(middle(chunk, bucket).max(self.min).min(self.max));
                }
            }
        }
        Some(self.max)
    }

    /// Adds all that another histogram counted.
    pub fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.chunks.iter_mut().zip(&other.chunks) {
            let Some(theirs) = theirs else { continue };
            let ours = ours.get_or_insert_with(|| Box::new([0; SUB_BUCKETS]));
            for (ours, theirs) in ours.iter_mut().zip(theirs.iter()) {
                *ours = ours.saturating_add(*theirs);
            }
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Bytes that it has allocated.
    pub fn allocated(&self) -> usize {
        self.chunks.iter().flatten().count() * size_of::<Chunk>()
    }

    /// How many values were recorded.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all values.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The least value, exactly.
    pub fn min(&self) -> Option<u64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest value, exactly.
    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    /// The arithmetic mean; 0 while nothing was recorded.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        self.sum as f64 / self.count as f64
    }
}

/// Chunk and bucket of a value.
const fn place(value: u64) -> (usize, usize) {
    // Below 64 the exponent is set to 6 bits, so that shift and chunk come out as 0 without a branch of their own.
    let exponent = 63 - (value | (SUB_BUCKETS as u64 - 1)).leading_zeros();
    let chunk = exponent + 1 - SUB_BITS;
    let shift = if chunk == 0 { 0 } else { chunk - 1 };
    (chunk as usize, (value >> shift) as usize & (SUB_BUCKETS - 1))
}

/// The value in the middle of a bucket.
const fn middle(chunk: usize, bucket: usize) -> u64 {
    if chunk == 0 {
        return bucket as u64;
    }
    let width = 1u64 << (chunk - 1);
    (SUB_BUCKETS + bucket) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn exact(sorted: &[u64], q: f64) -> u64 {
        let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        sorted[rank - 1]
    }

    fn recorded(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.record(value));
        histogram
    }

    fn values() -> impl Strategy<Value = Vec<u64>> {
        // Uniform over the exponents, so that small and large values are alike tested.
        let value = (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift);
        prop::collection::vec(value, 1..300)
    }

    #[test]
    fn the_mean_is_that_of_the_values_themselves() {
        assert!((recorded(&[1, 2, 600]).mean() - 201.0).abs() < f64::EPSILON);
    }

    #[test]
    fn values_of_one_power_of_two_share_half_a_kilobyte() {
        assert_eq!(Histogram::new().allocated(), 0);
        assert_eq!(recorded(&[64, 100, 127]).allocated(), 512);
        assert_eq!(recorded(&[64, 128]).allocated(), 1024);
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), None);
        assert_eq!((histogram.min(), histogram.max()), (None, None));
        assert_eq!(histogram.mean(), 0.0);
    }

    #[test]
    fn values_below_128_are_exact() {
        for value in 0..128 {
            let (chunk, bucket) = place(value);
            assert_eq!(middle(chunk, bucket), value);
        }
    }

    #[test]
    fn every_middle_lies_in_its_own_bucket_up_to_the_greatest_value() {
        assert_eq!(place(u64::MAX), (CHUNKS - 1, SUB_BUCKETS - 1));
        for chunk in 0..CHUNKS {
            for bucket in 0..SUB_BUCKETS {
                assert_eq!(place(middle(chunk, bucket)), (chunk, bucket));
            }
        }
    }

    #[test]
    fn the_ends_are_exact_where_the_middles_of_their_buckets_are_not() {
        let histogram = recorded(&[10_001, 10_050, 20_000, 30_001]);
        assert_eq!(histogram.quantile(0.0), Some(10_001));
        assert_eq!(
            histogram.quantile(0.01),
            Some(middle(place(10_001).0, place(10_001).1))
        );
        assert_eq!(histogram.quantile(1.0), Some(30_001));
    }

    #[test]
    fn a_share_that_is_no_number_or_out_of_range_is_the_nearest_that_is() {
        let histogram = recorded(&[5, 6, 7]);
        assert_eq!(histogram.quantile(f64::NAN), Some(5));
        assert_eq!(histogram.quantile(-1.0), Some(5));
        assert_eq!(histogram.quantile(2.0), Some(7));
    }

    #[test]
    fn memory_is_taken_only_for_the_powers_of_two_that_were_seen() {
        let mut histogram = recorded(&[1, 2, 3, 1000, 1001]);
        assert_eq!(histogram.chunks.iter().flatten().count(), 2);
        histogram.clear();
        assert_eq!(histogram.chunks.iter().flatten().count(), 0);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent_of_the_value(values in values(), q in 0.0f64..=1.0) {
            let histogram = recorded(&values);
            let mut sorted = values;
            sorted.sort_unstable();
            let (ours, truth) = (histogram.quantile(q).unwrap(), exact(&sorted, q));
            prop_assert!(ours.abs_diff(truth) as f64 <= truth as f64 * 0.01, "{} for {}", ours, truth);
        }

        #[test]
        fn a_value_recorded_many_times_counts_as_often(value in any::<u64>(), times in 1u64..50, others in values()) {
            let mut at_once = recorded(&others);
            at_once.record_many(value, times);
            let singly = recorded(&[others, vec![value; times as usize]].concat());
            prop_assert_eq!(format!("{at_once:?}"), format!("{singly:?}"));
        }

        #[test]
        fn count_sum_min_and_max_are_exact(values in values()) {
            let histogram = recorded(&values);
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert_eq!(histogram.sum(), values.iter().fold(0, |sum: u64, v| sum.saturating_add(*v)));
            prop_assert_eq!(histogram.min(), values.iter().min().copied());
            prop_assert_eq!(histogram.max(), values.iter().max().copied());
        }

        #[test]
        fn merging_is_recording_both(a in values(), b in values(), q in 0.0f64..=1.0) {
            let mut merged = recorded(&a);
            merged.merge(&recorded(&b));
            let both = recorded(&[a, b].concat());
            prop_assert_eq!(merged.quantile(q), both.quantile(q));
            prop_assert_eq!((merged.count(), merged.sum()), (both.count(), both.sum()));
            prop_assert_eq!((merged.min(), merged.max()), (both.min(), both.max()));
        }
    }
}
