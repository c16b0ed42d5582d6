//! How often a key was asked for lately, in four bits.
//!
//! A count-min sketch whose counters are halved from time to time, as in Einziger, Friedman and Manes, "TinyLFU: A
//! Highly Efficient Cache Admission Policy" (ACM Transactions on Storage 13, 2017).

/// Counts by hash; about eight bytes an entry of the cache.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    // Each word holds four groups of four counters of four bits; one counter of each group belongs to a hash.
    words: Vec<u64>,
    additions: usize,
}

const SMALLEST: usize = 16;
const MOST: u64 = 15;
/// The window over which counts mean something, in multiples of the table's length (the paper's W / C = 10).
const WINDOW: usize = 10;

impl Sketch {
    /// Makes room for so many entries. Growing keeps every count: the table is copied behind itself, so a hash finds
    /// its old counters at its new place.
    pub(super) fn fit(&mut self, entries: usize) {
        let wanted = entries.clamp(SMALLEST, 1 << 24).next_power_of_two();
        if self.words.is_empty() {
            self.words = vec![0; wanted];
        }
        while self.words.len() < wanted {
            self.words.extend_from_within(..);
        }
    }

    /// Counts one more.
    pub(super) fn add(&mut self, hash: u32) {
        let mut added = false;
        for place in self.places(hash).into_iter().flatten() {
            let (word, shift) = place;
            if let Some(word) = self.words.get_mut(word)
                && (*word >> shift) & MOST < MOST
            {
                *word += 1 << shift;
                added = true;
            }
        }
        if added {
            self.additions += 1;
            if self.additions >= self.words.len() * WINDOW {
                self.age();
            }
        }
    }

    /// The count; at most 15, never less than the truth unless counts were halved.
    pub(super) fn estimate(&self, hash: u32) -> u8 {
        self.places(hash)
            .into_iter()
            .flatten()
            .filter_map(|(word, shift)| self.words.get(word).map(|word| (word >> shift) & MOST))
            .min()
            .unwrap_or(0) as u8
    }

    fn age(&mut self) {
        self.additions /= 2;
        for word in &mut self.words {
            *word = (*word >> 1) & 0x7777_7777_7777_7777;
        }
    }

    fn places(&self, hash: u32) -> Option<[(usize, u32); 4]> {
        let mask = self.words.len().checked_sub(1)?;
        Some([0, 1, 2, 3].map(|group| {
            let spread = spread((u64::from(hash) << 2) | u64::from(group));
            (
                spread as usize & mask,
                group * 16 + ((spread >> 40) as u32 & 3) * 4,
            )
        }))
    }
}

/// The finaliser of SplitMix64: every bit of the input reaches every bit of the output.
pub(super) const fn spread(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_asked_for_often_counts_more_than_what_is_seen_once() {
        let mut sketch = Sketch::default();
        sketch.fit(64);
        for once in 0..200 {
            sketch.add(once);
            sketch.add(1_000_000);
        }
        assert!(sketch.estimate(1_000_000) > 7);
        assert!((0..200).filter(|once| sketch.estimate(*once) > 3).count() < 20);
    }

    #[test]
    fn counts_fade_when_nobody_asks_any_more() {
        let mut sketch = Sketch::default();
        sketch.fit(64);
        (0..15).for_each(|_| sketch.add(7));
        assert_eq!(sketch.estimate(7), 15);
        (100..3000).for_each(|other| sketch.add(other));
        assert!(sketch.estimate(7) < 15);
    }

    #[test]
    fn growing_keeps_every_count() {
        let mut sketch = Sketch::default();
        sketch.fit(16);
        (0..5).for_each(|_| sketch.add(7));
        let before = sketch.estimate(7);
        sketch.fit(1000);
        assert_eq!(sketch.estimate(7), before);
        assert_eq!(sketch.words.len(), 1024);
    }

    #[test]
    fn an_empty_sketch_knows_nothing_and_takes_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(1);
        assert_eq!(sketch.estimate(1), 0);
    }

    #[test]
    fn bits_are_spread_as_by_splitmix64() {
        assert_eq!(spread(1_234_567), 6_457_827_717_110_365_317);
        assert_eq!(spread(0), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn a_hash_has_a_counter_of_its_own_in_each_of_four_groups() {
        let mut sketch = Sketch::default();
        sketch.fit(1);
        assert_eq!(sketch.words.len(), SMALLEST);
        let mut shifts = std::collections::BTreeSet::new();
        for hash in 0..500 {
            let places = sketch.places(hash).unwrap();
            for (group, (word, shift)) in places.into_iter().enumerate() {
                assert!(word < SMALLEST);
                assert_eq!((shift / 16) as usize, group);
                assert_eq!(shift % 4, 0);
                shifts.insert(shift);
            }
        }
        assert_eq!(shifts.len(), 16, "every counter of a word is somebody's");
    }

    #[test]
    fn counts_are_halved_when_the_window_is_over() {
        let mut sketch = Sketch::default();
        sketch.fit(16);
        // One hash stops at 15, and then is no addition any more.
        (0..40).for_each(|_| sketch.add(7));
        assert_eq!((sketch.estimate(7), sketch.additions), (15, 15));
        let mut other = 1000;
        while sketch.additions < 159 {
            sketch.add(other);
            other += 1;
        }
        assert_eq!(sketch.estimate(7), 15);
        let before = sketch.words.clone();
        while sketch.additions == 159 {
            sketch.add(other);
            other += 1;
        }
        assert_eq!(sketch.additions, 80);
        assert_eq!(sketch.estimate(7), 7);
        let sum = |words: &[u64]| {
            words
                .iter()
                .map(|word| (0..16).map(|at| (word >> (4 * at)) & 15).sum::<u64>())
                .sum::<u64>()
        };
        assert!(sum(&sketch.words) <= sum(&before).div_ceil(2) + 2);
    }
}
