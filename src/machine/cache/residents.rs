//! Who is in the cache, in the order in which they would have to leave.
//!
//! W-TinyLFU (Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache Management", Middleware 2018): newcomers
//! enter a *window* kept by recency. Whoever falls out of it meets the first of those who would leave the main part, and the
//! one asked for more often stays. The main part is *probation* and, for those hit there, a *protected* four fifths.
//! A window of 1 % is a filter by frequency; a window of 99 % is LRU. The share is what [`Duel`](super::duel::Duel) turns.

use super::sketch::Sketch;
use crate::machine::random::Random;

/// Entries by slot, in three segments. Names are whatever the owner calls its entries.
#[derive(Clone, Debug)]
pub(super) struct Residents {
    slots: Vec<Slot>,
    free: Vec<u32>,
    segments: [List; 3],
    capacity: u64,
    window: u64,
}

/// One resident.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: u32,
    hash: u32,
    weight: u32,
    segment: Segment,
    newer: u32,
    older: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Segment {
    Window,
    Probation,
    Protected,
}

#[derive(Clone, Copy, Debug)]
struct List {
    newest: u32,
    oldest: u32,
    weight: u64,
}

const NOBODY: u32 = u32::MAX;
/// At least this often asked for, a loser may be admitted by chance, so that colliding counts cannot lock a key out.
const WARM: u8 = 6;

/// Which share of the capacity the window takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Favour {
    /// 1 %: frequency decides.
    Frequency,
    /// 99 %: recency decides.
    Recency,
}

impl Residents {
    pub(super) fn new(capacity: u64, favour: Favour) -> Self {
        let empty = List {
            newest: NOBODY,
            oldest: NOBODY,
            weight: 0,
        };
        let mut residents = Self {
            slots: Vec::new(),
            free: Vec::new(),
            segments: [empty; 3],
            capacity,
            window: 0,
        };
        residents.favour(favour);
        residents
    }

    /// Turns the window. Nobody leaves for it now: the next newcomers do the rest.
    pub(super) fn favour(&mut self, favour: Favour) {
        let percent = self.capacity / 100;
        self.window = match favour {
            Favour::Frequency => percent.max(1),
            Favour::Recency => self.capacity.saturating_sub(percent).max(1),
        };
    }

    /// Lets a newcomer in and names those who have to leave for it, itself perhaps among them.
    pub(super) fn enter(
        &mut self,
        newcomer: Newcomer,
        sketch: &Sketch,
        random: &mut Random,
        left: &mut Vec<u32>,
    ) -> u32 {
        let slot = Slot {
            name: newcomer.name,
            hash: newcomer.hash,
            weight: newcomer.weight,
            segment: Segment::Window,
            newer: NOBODY,
            older: NOBODY,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.link(at);
        self.settle(sketch, random, left);
        at
    }

    /// It was asked for.
    pub(super) fn touch(&mut self, at: u32) {
        let Some(slot) = self.slots.get(at as usize) else {
            return;
        };
        match slot.segment {
            Segment::Window => self.shift(at, Segment::Window),
            Segment::Probation | Segment::Protected => {
                self.shift(at, Segment::Protected);
                let room = self.capacity.saturating_sub(self.window) / 5 * 4;
                while self.list(Segment::Protected).weight > room {
                    let oldest = self.list(Segment::Protected).oldest;
                    if oldest == at {
                        break;
                    }
                    self.shift(oldest, Segment::Probation);
                }
            }
        }
    }

    /// It leaves for a reason of its own.
    pub(super) fn leave(&mut self, at: u32) {
        if at as usize >= self.slots.len() {
            return;
        }
        self.unlink(at);
        self.free.push(at);
    }

    pub(super) fn weight(&self) -> u64 {
        self.segments.iter().map(|list| list.weight).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All of them, those who would leave first in front.
    pub(super) fn by_age(&self) -> impl Iterator<Item = Newcomer> {
        [Segment::Probation, Segment::Protected, Segment::Window]
            .into_iter()
            .flat_map(|segment| {
                let oldest = self.list(segment).oldest;
                std::iter::successors(self.slots.get(oldest as usize), |slot| {
                    self.slots.get(slot.newer as usize)
                })
            })
            .map(|slot| Newcomer {
                name: slot.name,
                hash: slot.hash,
                weight: slot.weight,
            })
    }

    fn settle(&mut self, sketch: &Sketch, random: &mut Random, left: &mut Vec<u32>) {
        while self.list(Segment::Window).weight > self.window {
            let candidate = self.list(Segment::Window).oldest;
            self.shift(candidate, Segment::Probation);
            if self.weight() <= self.capacity {
                continue;
            }
            let loser = match self.first_to_leave(candidate) {
                None => candidate,
                Some(first) => {
                    let (mine, theirs) = (self.count(candidate, sketch), self.count(first, sketch));
                    // Caffeine's guard against keys made to collide with a victim's counters: now and then chance decides.
                    let admitted = mine > theirs || (mine >= WARM && random.bits() & 127 == 0);
                    if admitted { first } else { candidate }
                }
            };
            self.evict(loser, left);
        }
        // Heavy newcomers displace more than one; after the window grew, the main part pays.
        while self.weight() > self.capacity {
            let Some(first) = self.first_to_leave(NOBODY) else {
                break;
            };
            self.evict(first, left);
        }
    }

    fn first_to_leave(&self, except: u32) -> Option<u32> {
        let probation = self.list(Segment::Probation).oldest;
        let protected = self.list(Segment::Protected).oldest;
        let window = self.list(Segment::Window).oldest;
        [probation, protected, window]
            .into_iter()
            .find(|at| *at != NOBODY && *at != except)
    }

    fn count(&self, at: u32, sketch: &Sketch) -> u8 {
        sketch.estimate(self.slots[at as usize].hash)
    }

    fn evict(&mut self, at: u32, left: &mut Vec<u32>) {
        left.push(self.slots[at as usize].name);
        self.leave(at);
    }

    fn shift(&mut self, at: u32, to: Segment) {
        self.unlink(at);
        self.slots[at as usize].segment = to;
        self.link(at);
    }

    fn link(&mut self, at: u32) {
        let Slot { segment, weight, .. } = self.slots[at as usize];
        let list = &mut self.segments[segment as usize];
        let second = std::mem::replace(&mut list.newest, at);
        list.weight += u64::from(weight);
        if second == NOBODY {
            list.oldest = at;
        } else {
            self.slots[second as usize].newer = at;
        }
        let slot = &mut self.slots[at as usize];
        (slot.newer, slot.older) = (NOBODY, second);
    }

    fn unlink(&mut self, at: u32) {
        let Slot {
            segment,
            weight,
            newer,
            older,
            ..
        } = self.slots[at as usize];
        let list = &mut self.segments[segment as usize];
        list.weight = list.weight.saturating_sub(u64::from(weight));
        if newer == NOBODY {
            list.newest = older;
        }
        if older == NOBODY {
            list.oldest = newer;
        }
        if newer != NOBODY {
            self.slots[newer as usize].older = older;
        }
        if older != NOBODY {
            self.slots[older as usize].newer = newer;
        }
    }

    fn list(&self, segment: Segment) -> &List {
        &self.segments[segment as usize]
    }
}

/// Who wants in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) name: u32,
    pub(super) hash: u32,
    pub(super) weight: u32,
}

#[cfg(test)]
mod tests;
