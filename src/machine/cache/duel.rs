//! Recency against frequency: two small pretend caches see a sample of the same requests, and the real one is run the
//! way of whichever hit more of them lately.
//!
//! No single order is best: a filter by frequency wins on skewed popularity, scans and loops, LRU on requests that come in
//! bursts. Miniature simulation on a hashed sample is from Waldspurger, Saemundsson, Ahmad and Park, "Cache Modeling and
//! Optimization using Miniature Simulations" (USENIX ATC 2017); letting two policies duel for the rest from Qureshi et al.,
//! "Adaptive Insertion Policies for High Performance Caching" (ISCA 2007).

use super::residents::{Favour, Newcomer, Residents};
use super::sketch::{Sketch, spread};
use crate::machine::keys::KeyMap;
use crate::machine::random::Random;

/// The two pretend caches and their score.
#[derive(Clone, Debug)]
pub(super) struct Duel {
    capacity: u64,
    // One hash of 2^sampled takes part.
    sampled: u32,
    rounds: [Round; 2],
    requests: usize,
    ahead: Favour,
}

#[derive(Clone, Debug)]
struct Round {
    favour: Favour,
    residents: Residents,
    slots: KeyMap<u32>,
    hits: u32,
}

/// More pretend entries than this, and the sample is halved.
const MOST: usize = 1024;
/// A verdict needs at least so many requests: below, it is noise.
const FEWEST: usize = 32;

impl Duel {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            sampled: 0,
            rounds: [
                Round::new(capacity, Favour::Frequency),
                Round::new(capacity, Favour::Recency),
            ],
            requests: 0,
            ahead: Favour::Frequency,
        }
    }

    /// A key was asked for, hit or not. Gives a new verdict when there is one.
    pub(super) fn asked(&mut self, hash: u32, entries: usize) -> Option<Favour> {
        if self.takes(hash) {
            for round in &mut self.rounds {
                round.asked(hash);
            }
        }
        self.requests += 1;
        (self.requests >= entries.max(FEWEST))
            .then(|| self.judge())
            .flatten()
    }

    /// The key is in the cache, or was just put there: the pretend caches that lack it take it in too.
    pub(super) fn present(&mut self, hash: u32, weight: u32, sketch: &Sketch, random: &mut Random) {
        if !self.takes(hash) {
            return;
        }
        for round in &mut self.rounds {
            round.present(hash, weight, sketch, random);
        }
        while self.rounds.iter().any(|round| round.residents.len() > MOST) {
            self.sampled += 1;
            let (capacity, sampled) = ((self.capacity >> self.sampled).max(1), self.sampled);
            for round in &mut self.rounds {
                round.thin(capacity, sampled, sketch, random);
            }
        }
    }

    fn judge(&mut self) -> Option<Favour> {
        let [frequency, recency] = &self.rounds;
        let verdict = if recency.hits > frequency.hits {
            Favour::Recency
        } else {
            Favour::Frequency
        };
        // Half of what was is remembered, so that one odd stretch does not turn everything over.
        for round in &mut self.rounds {
            round.hits /= 2;
        }
        self.requests = 0;
        let changed = verdict != self.ahead;
        self.ahead = verdict;
        changed.then_some(verdict)
    }

    fn takes(&self, hash: u32) -> bool {
        belongs(hash, self.sampled)
    }
}

/// Whether a hash is in a sample of one in 2^sampled. Other bits than the sketch's and the maps', so that the sample is fair.
const fn belongs(hash: u32, sampled: u32) -> bool {
    let bits = spread(hash as u64) >> 32;
    sampled < 32 && bits & ((1 << sampled) - 1) == 0
}

impl Round {
    fn new(capacity: u64, favour: Favour) -> Self {
        Self {
            favour,
            residents: Residents::new(capacity, favour),
            slots: KeyMap::default(),
            hits: 0,
        }
    }

    fn asked(&mut self, hash: u32) {
        if let Some(at) = self.slots.get(&hash) {
            self.hits += 1;
            self.residents.touch(*at);
        }
    }

    fn present(&mut self, hash: u32, weight: u32, sketch: &Sketch, random: &mut Random) {
        if self.slots.contains_key(&hash) {
            return;
        }
        let newcomer = Newcomer {
            name: hash,
            hash,
            weight,
        };
        let mut left = Vec::new();
        let at = self.residents.enter(newcomer, sketch, random, &mut left);
        self.slots.insert(hash, at);
        for hash in left {
            self.slots.remove(&hash);
        }
    }

    fn thin(&mut self, capacity: u64, sampled: u32, sketch: &Sketch, random: &mut Random) {
        let old = std::mem::replace(&mut self.residents, Residents::new(capacity, self.favour));
        self.slots.clear();
        for newcomer in old.by_age() {
            if belongs(newcomer.hash, sampled) {
                self.present(newcomer.hash, newcomer.weight, sketch, random);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn asked_often(duel: &mut Duel, times: usize, entries: usize) -> Option<Favour> {
        // Of a key that is in neither pretend cache.
        (0..times).filter_map(|_| duel.asked(u32::MAX, entries)).last()
    }

    #[test]
    fn whoever_hit_more_is_ahead_and_half_of_it_is_remembered() {
        let mut duel = Duel::new(8);
        duel.rounds[1].hits = 9;
        assert_eq!(asked_often(&mut duel, FEWEST - 1, 8), None);
        assert_eq!(duel.requests, FEWEST - 1);
        assert_eq!(asked_often(&mut duel, 1, 8), Some(Favour::Recency));
        assert_eq!((duel.rounds[1].hits, duel.requests), (4, 0));
        // Once is enough: only a change is told.
        assert_eq!(asked_often(&mut duel, FEWEST, 8), None);
        duel.rounds[0].hits = 2;
        // As many hits: frequency is what there is without a reason.
        assert_eq!(asked_often(&mut duel, FEWEST, 8), Some(Favour::Frequency));
    }

    #[test]
    fn a_verdict_takes_as_many_requests_as_there_are_entries() {
        let mut duel = Duel::new(1000);
        duel.rounds[1].hits = 1;
        assert_eq!(asked_often(&mut duel, 99, 100), None);
        assert_eq!(asked_often(&mut duel, 1, 100), Some(Favour::Recency));
    }

    #[test]
    fn both_pretend_caches_take_in_what_is_there_and_count_their_hits() {
        let mut duel = Duel::new(100);
        let (sketch, mut random) = (Sketch::default(), Random::new(1));
        assert_eq!(duel.asked(7, 10), None);
        for _ in 0..2 {
            duel.present(7, 1, &sketch, &mut random);
            assert!(duel.rounds.iter().all(|round| round.residents.len() == 1));
        }
        duel.asked(7, 10);
        duel.asked(8, 10);
        assert!(duel.rounds.iter().all(|round| round.hits == 1));
    }

    #[test]
    fn a_pretend_cache_forgets_whom_it_turned_out() {
        let mut duel = Duel::new(4);
        let (sketch, mut random) = (Sketch::default(), Random::new(1));
        for hash in 0..50 {
            duel.present(hash, 1, &sketch, &mut random);
            for round in &duel.rounds {
                assert_eq!(round.slots.len(), round.residents.len());
                assert!(round.residents.len() <= 4);
            }
        }
    }

    #[test]
    fn beyond_its_most_entries_the_sample_is_halved_and_the_pretend_caches_with_it() {
        let mut duel = Duel::new(1 << 20);
        let (sketch, mut random) = (Sketch::default(), Random::new(1));
        for hash in 0..MOST as u32 {
            duel.present(hash, 1, &sketch, &mut random);
        }
        assert_eq!(duel.sampled, 0);
        duel.present(MOST as u32, 1, &sketch, &mut random);
        assert_eq!(duel.sampled, 1);
        for round in &duel.rounds {
            let stay = (0..=MOST as u32).filter(|hash| belongs(*hash, 1)).count();
            assert_eq!((round.residents.len(), round.slots.len()), (stay, stay));
            assert!(round.slots.keys().all(|hash| belongs(*hash, 1)));
        }
        let stranger = (0..).find(|hash| !belongs(*hash, 1)).unwrap();
        duel.present(stranger, 1, &sketch, &mut random);
        assert!(
            duel.rounds
                .iter()
                .all(|round| !round.slots.contains_key(&stranger))
        );
    }

    #[test]
    fn a_sample_is_one_of_two_of_the_sample_before_it() {
        let mut sample: Vec<u32> = (0..1 << 14).collect();
        for sampled in 0..8 {
            let before = sample.len();
            sample.retain(|hash| belongs(*hash, sampled));
            if sampled == 0 {
                assert_eq!(sample.len(), before);
            } else {
                assert!(
                    (before * 2 / 5..before * 3 / 5).contains(&sample.len()),
                    "{} of {before}",
                    sample.len()
                );
            }
        }
        assert!((0..1000).all(|hash| !belongs(hash, 32)));
    }

    #[test]
    fn the_pretend_caches_are_as_small_as_their_sample() {
        let mut duel = Duel::new(2000);
        let (sketch, mut random) = (Sketch::default(), Random::new(1));
        for hash in 0..6000 {
            duel.present(hash, 1, &sketch, &mut random);
        }
        assert_eq!(duel.sampled, 1);
        for round in &duel.rounds {
            assert!(round.residents.weight() <= 1000);
            assert!(round.residents.len() > 900);
        }
    }
}
