//! Turns: what a queue knows about each key that somebody waits for.
//!
//! A table with open addressing and linear probing, where a removal shifts back what probed past it (Knuth, The Art of
//! Computer Programming, volume 3, 6.4, algorithm R). The maps of the standard library do the same in ten times the
//! code, and in wasm code is a download.

/// The turns of keys, by their numbers. 0 is no key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    // A power of two of places, at most half of them taken, or none; key 0 is a free place.
    places: Vec<Turn>,
    taken: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    key: u32,
    waiting: u32,
    last_round: i64,
}

const FEWEST: usize = 8;
/// An empty table that is larger than this is given back.
const KEPT: usize = 64;

impl Turns {
    /// The round of the last that came for this key; 0 if nobody waits for it.
    pub(crate) fn last_round(&self, key: u32) -> i64 {
        self.places
            .get(self.find(key))
            .map_or(0, |turn| if turn.key == key { turn.last_round } else { 0 })
    }

    /// One more waits for this key, which is not 0.
    pub(crate) fn arrive(&mut self, key: u32, round: i64) {
        if self.taken * 2 >= self.places.len() {
            self.grow();
        }
        let place = self.find(key);
        if let Some(turn) = self.places.get_mut(place) {
            self.taken += usize::from(turn.key == 0);
            turn.key = key;
            turn.last_round = round;
            turn.waiting += 1;
        }
    }

    /// One less waits for this key. A key that nobody waits for is forgotten: memory is bounded by who waits, not by who
    /// ever came.
    pub(crate) fn leave(&mut self, key: u32) {
        let place = self.find(key);
        let Some(turn) = self.places.get_mut(place) else {
            return;
        };
        if turn.key == 0 {
            return;
        }
        turn.waiting -= 1;
        if turn.waiting > 0 {
            return;
        }
        self.taken -= 1;
        if self.taken == 0 && self.places.len() > KEPT {
            self.places = Vec::new();
        } else {
            self.free(place);
        }
    }

    /// Where a key is, or where it would be.
    fn find(&self, key: u32) -> usize {
        let mask = self.places.len().wrapping_sub(1);
        let mut place = home(key, mask);
        while let Some(turn) = self.places.get(place) {
            if turn.key == key || turn.key == 0 {
                break;
            }
            place = (place + 1) & mask;
        }
        place
    }

    fn free(&mut self, mut hole: usize) {
        let mask = self.places.len().wrapping_sub(1);
        let mut place = hole;
        loop {
            place = (place + 1) & mask;
            let Some(&turn) = self.places.get(place) else {
                return;
            };
            if turn.key == 0 {
                break;
            }
            // Who is as far from home as from the hole, or farther, probed past it.
            let from_home = place.wrapping_sub(home(turn.key, mask)) & mask;
            if from_home >= place.wrapping_sub(hole) & mask {
                self.places[hole] = turn;
                hole = place;
            }
        }
        self.places[hole] = Turn::default();
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let larger = (self.places.len() * 2).max(FEWEST);
        let before = core::mem::replace(&mut self.places, vec![Turn::default(); larger]);
        for turn in before {
            if turn.key != 0 {
                let place = self.find(turn.key);
                self.places[place] = turn;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == 0
    }
}

/// Where a key is looked for first. Numbers in a row are spread by the golden ratio (Knuth, 6.4, multiplicative hashing).
fn home(key: u32, mask: usize) -> usize {
    (key.wrapping_mul(0x9E37_79B9) >> 7) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_large_table_that_empties_is_given_back() {
        let mut turns = Turns::default();
        (1..1000).for_each(|key| turns.arrive(key, 1));
        (1..1000).for_each(|key| turns.leave(key));
        assert!(turns.is_empty());
        assert_eq!(turns.places.capacity(), 0);
    }

    #[test]
    fn nobody_leaves_a_table_that_nobody_entered() {
        let mut turns = Turns::default();
        turns.leave(7);
        assert_eq!(turns.last_round(7), 0);
    }

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(ops in prop::collection::vec((any::<bool>(), 1u32..40, 1i64..100), 1..400)) {
            let mut turns = Turns::default();
            let mut model: BTreeMap<u32, (i64, u32)> = BTreeMap::new();
            for (comes, low, round) in ops {
                // Far apart and close together, so that homes collide.
                let key = if low > 20 { low << 25 | 1 } else { low };
                if comes {
                    turns.arrive(key, round);
                    let known = model.entry(key).or_default();
                    *known = (round, known.1 + 1);
                } else if let Some(known) = model.get_mut(&key) {
                    turns.leave(key);
                    known.1 -= 1;
                    if known.1 == 0 {
                        model.remove(&key);
                    }
                }
                for key in (1..=20).chain((21..40).map(|low| low << 25 | 1)) {
                    prop_assert_eq!(turns.last_round(key), model.get(&key).map_or(0, |known| known.0));
                }
                prop_assert_eq!(turns.is_empty(), model.is_empty());
            }
        }
    }
}
