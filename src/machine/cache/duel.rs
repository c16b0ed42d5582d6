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
