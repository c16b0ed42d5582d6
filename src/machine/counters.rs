//! Counters by key: additions that cannot be lost, because nothing happens between reading and writing.

use super::keys::KeyMap;

/// Whole numbers by interned key; what was never counted is 0.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    values: KeyMap<i64>,
}

/// The largest number that an `f64` tells from its neighbours: counters stop there instead of going wrong.
const MOST: i64 = (1 << 53) - 1;

impl Counters {
    /// No counter has moved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to a counter and gives what it is then. It stops at ±(2^53 − 1), the last whole numbers that JavaScript can tell apart.
    pub fn increment(&mut self, key: u32, by: i64) -> i64 {
        let value = self.values.entry(key).or_insert(0);
        *value = value.saturating_add(by).clamp(-MOST, MOST);
        *value
    }

    /// What a counter is.
    pub fn value(&self, key: u32) -> i64 {
        self.values.get(&key).copied().unwrap_or(0)
    }

    /// Forgets a counter and gives what it was; the host may give its id to another name.
    pub fn reset(&mut self, key: u32) -> i64 {
        self.values.remove(&key).unwrap_or(0)
    }

    /// All counters that have moved, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = (u32, i64)> {
        self.values.iter().map(|(key, value)| (*key, *value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_increment_gives_the_new_value() {
        let mut counters = Counters::new();
        assert_eq!(counters.increment(1, 1), 1);
        assert_eq!(counters.increment(1, 4), 5);
        assert_eq!(counters.increment(2, -1), -1);
        assert_eq!((counters.value(2), counters.value(3)), (-1, 0));
        let mut all: Vec<_> = counters.values().collect();
        all.sort_unstable();
        assert_eq!(all, [(1, 5), (2, -1)]);
        assert_eq!((counters.reset(1), counters.value(1)), (5, 0));
    }

    #[test]
    fn a_counter_stops_where_numbers_can_no_longer_be_told_apart() {
        let mut counters = Counters::new();
        assert_eq!(counters.increment(1, i64::MAX), MOST);
        assert_eq!(counters.increment(1, 1), MOST);
        assert_eq!(counters.increment(1, i64::MIN), -MOST);
        assert!((MOST as f64 - 1.0) as i64 == MOST - 1);
    }
}
