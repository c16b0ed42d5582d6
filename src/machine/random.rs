//! Randomness for jitter, probes and sketches: injected, lazily seeded, never a source of its own.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): one word of state, good
/// enough to spread retries, and the same sequence for the same seed. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator that a seed names.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..=most`.
    pub const fn up_to(&mut self, most: u64) -> u64 {
        if most == u64::MAX {
            return self.bits();
        }
        // Multiply-shift (Lemire, 2019); the bias of at most 2^-64 × range is far below what jitter can show.
        ((self.bits() as u128 * (most as u128 + 1)) >> 64) as u64
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_same_seed_gives_the_same_sequence_within_bounds() {
        let (mut a, mut b) = (Random::new(7), Random::new(7));
        let mut seen = [false; 4];
        for _ in 0..200 {
            let n = a.up_to(3);
            assert_eq!(n, b.up_to(3));
            seen[n as usize] = true;
            assert!((0.0..1.0).contains(&a.unit()));
            b.unit();
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        for number in published {
            assert_eq!(random.bits(), number);
        }
        // The share of the range that the bits are of theirs.
        let mut again = Random::new(1_234_567);
        assert_eq!(again.up_to(999), 350);
        assert_eq!(again.up_to(u64::MAX), published[1]);
        assert_eq!(
            again.unit(),
            (published[2] >> 11) as f64 / 9_007_199_254_740_992.0
        );
    }
}
