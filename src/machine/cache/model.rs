//! What an unbounded cache does, written down a second time as plainly as possible: maps that are searched, edges that are
//! followed anew each time. The machine must agree with it in every answer, wake and number.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Clone, Debug)]
struct Held {
    is_value: bool,
    weight: u32,
    fresh_until: u64,
    gone_at: u64,
}

#[derive(Clone, Debug)]
struct Flying {
    key: u32,
    began: u64,
    counts: bool,
    pilot: Ticket,
    waiters: Vec<Ticket>,
    until: u64,
    /// When the load was last handed over, among all that were.
    handed: u64,
}

struct Plain {
    ttl: u64,
    stale_for: u64,
    load_timeout: u64,
    held: BTreeMap<u32, Held>,
    from: BTreeMap<u32, BTreeSet<u32>>,
    flying: Vec<Flying>,
    invalidated: BTreeMap<u32, u64>,
    moments: u64,
    stats: CacheStats,
    gone: Vec<(u32, Gone)>,
    wakes: Vec<(Ticket, Why)>,
}

impl Plain {
    fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    fn look(&self, now: u64, key: u32) -> Lookup {
        match self.held.get(&key) {
            Some(held) if held.gone_at <= now => Lookup::Missing,
            Some(held) if !held.is_value => Lookup::Negative,
            Some(held) if held.fresh_until <= now => Lookup::Stale,
            Some(_) => Lookup::Fresh,
            None => Lookup::Missing,
        }
    }

    fn get(&mut self, now: u64, key: u32) -> Lookup {
        self.expire(now);
        let found = self.look(now, key);
        self.stats.hits += u64::from(matches!(found, Lookup::Fresh | Lookup::Stale));
        self.stats.stale_hits += u64::from(found == Lookup::Stale);
        self.stats.negative_hits += u64::from(found == Lookup::Negative);
        self.stats.misses += u64::from(found == Lookup::Missing);
        found
    }

    fn expire(&mut self, now: u64) {
        while let Some((key, _)) = self.held.iter().find(|(_, held)| held.gone_at <= now) {
            self.drop_held(*key, Gone::Expired);
        }
        self.prune();
    }

    fn drop_held(&mut self, key: u32, gone: Gone) -> bool {
        let was = self.held.remove(&key).is_some();
        if was {
            self.gone.push((key, gone));
            *(if gone == Gone::Expired {
                &mut self.stats.expirations
            } else {
                &mut self.stats.invalidations
            }) += 1;
        }
        was
    }

    /// What a value was computed from is remembered while it is there, or while something was computed from it.
    fn prune(&mut self) {
        loop {
            let needed: BTreeSet<u32> = self.from.values().flatten().copied().collect();
            let before = self.from.len();
            let held = &self.held;
            self.from
                .retain(|key, _| needed.contains(key) || held.get(key).is_some_and(|held| held.is_value));
            if self.from.len() == before {
                return;
            }
        }
    }

    fn keep(&mut self, now: u64, key: u32, weight: u32, ttl: u64, from: Option<&[u32]>) {
        let fresh_until = now + ttl;
        let is_value = from.is_some();
        let gone_at = fresh_until + if is_value { self.stale_for } else { 0 };
        let held = Held {
            is_value,
            weight: weight.max(1),
            fresh_until,
            gone_at,
        };
        self.held.insert(key, held);
        if let Some(from) = from {
            let from: BTreeSet<u32> = from.iter().copied().filter(|source| *source != key).collect();
            self.from.insert(key, from);
            self.from.retain(|_, from| !from.is_empty());
        }
    }

    fn detach(&mut self, key: u32) {
        for flight in &mut self.flying {
            flight.counts &= flight.key != key;
        }
    }

    fn current(&mut self, key: u32) -> Option<&mut Flying> {
        self.flying
            .iter_mut()
            .find(|flight| flight.key == key && flight.counts)
    }

    fn begin(&mut self, now: u64, key: u32, pilot: Ticket) {
        let (began, handed) = (self.moment(), self.moment());
        let until = now.saturating_add(self.load_timeout);
        self.flying.push(Flying {
            key,
            began,
            counts: true,
            pilot,
            waiters: Vec::new(),
            until,
            handed,
        });
        self.stats.loads += 1;
    }

    fn land(&mut self, pilot: Ticket, why: Why) -> Option<Flying> {
        let at = self.flying.iter().position(|flight| flight.pilot == pilot)?;
        let flight = self.flying.remove(at);
        self.wakes
            .extend(flight.waiters.iter().map(|waiter| (*waiter, why)));
        Some(flight)
    }

    fn abandon(&mut self, now: u64, ticket: Ticket) -> bool {
        let until = now.saturating_add(self.load_timeout);
        let handed = self.moment();
        let aboard = |flight: &Flying| flight.pilot == ticket || flight.waiters.contains(&ticket);
        let Some(at) = self.flying.iter().position(aboard) else {
            return false;
        };
        let flight = &mut self.flying[at];
        flight.waiters.retain(|waiter| *waiter != ticket);
        if flight.pilot == ticket {
            if flight.waiters.is_empty() {
                self.flying.remove(at);
            } else {
                flight.pilot = flight.waiters.remove(0);
                (flight.until, flight.handed) = (until, handed);
                self.wakes.push((flight.pilot, Why::Granted));
            }
        }
        true
    }

    fn invalidate(&mut self, root: u32, with_root: bool) -> u32 {
        let mut reached = BTreeSet::from([root]);
        loop {
            let before = reached.len();
            let into = self.from.iter().filter(|(_, from)| !from.is_disjoint(&reached));
            let into: Vec<u32> = into.map(|(key, _)| *key).collect();
            reached.extend(into);
            if reached.len() == before {
                break;
            }
        }
        let moment = self.moment();
        self.invalidated.insert(root, moment);
        if !with_root {
            reached.remove(&root);
        }
        let mut count = 0;
        for key in reached {
            self.detach(key);
            self.invalidated.insert(key, moment);
            count += u32::from(self.drop_held(key, Gone::Invalidated));
            self.from.remove(&key);
        }
        self.prune();
        count
    }

    fn on_deadline(&mut self, now: u64) {
        self.expire(now);
        loop {
            let due = self.flying.iter().filter(|flight| flight.until <= now);
            let Some(pilot) = due
                .min_by_key(|flight| (flight.until, flight.handed))
                .map(|flight| flight.pilot)
            else {
                return;
            };
            self.wakes.push((pilot, Why::Expired));
            self.abandon(now, pilot);
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        let loads = self.flying.iter().map(|flight| flight.until);
        let all = self.held.values().map(|held| held.gone_at).chain(loads);
        all.min().filter(|at| *at != u64::MAX)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Get(u32),
    Missed,
    Set(u32, u32, Option<u64>, Vec<u32>),
    Load(u32),
    Loaded(usize, u32, Option<u64>, Vec<u32>),
    Failed(usize),
    Abandon(usize),
    Invalidate(u32),
    InvalidateBy(u32),
    Delete(u32),
    Clear,
    Tick(u64),
    Pass(u64),
}

fn some_op() -> impl Strategy<Value = Op> {
    // Keys are 0 to 4, and 5 and 6 are never more than tags.
    let entry = || {
        (
            0u32..4,
            prop::option::of(1u64..20),
            prop::collection::vec(0u32..7, 0..3),
        )
    };
    prop_oneof![
        3 => (0u32..5).prop_map(Op::Get),
        1 => Just(Op::Missed),
        6 => (0u32..5, entry()).prop_map(|(key, (weight, ttl, from))| Op::Set(key, weight, ttl, from)),
        8 => (0u32..5).prop_map(Op::Load),
        4 => (any::<usize>(), entry()).prop_map(|(which, (weight, ttl, from))| Op::Loaded(which, weight, ttl, from)),
        2 => any::<usize>().prop_map(Op::Failed),
        3 => any::<usize>().prop_map(Op::Abandon),
        1 => (0u32..7).prop_map(Op::Invalidate),
        2 => (0u32..7).prop_map(Op::InvalidateBy),
        1 => (0u32..5).prop_map(Op::Delete),
        1 => Just(Op::Clear),
        4 => (0u64..8).prop_map(Op::Tick),
        2 => (0u64..8).prop_map(Op::Pass),
    ]
}

proptest! {
    /// In every answer, every wake and every number.
    #[test]
    fn a_cache_does_what_its_plain_model_does(
        ops in prop::collection::vec(some_op(), 1..120),
        stale_for in prop_oneof![Just(0u64), 1u64..9],
        negative_ttl in prop_oneof![Just(0u64), 1u64..9],
        load_timeout in prop::option::of(1u64..12),
    ) {
        let micros = Duration::from_micros;
        let config = CacheConfig {
            max: None,
            ttl: micros(10),
            stale_for: micros(stale_for),
            negative_ttl: micros(negative_ttl),
            load_timeout: load_timeout.map(micros),
        };
        let mut cache = Cache::new(config, Random::new(1));
        let mut plain = Plain {
            ttl: 10,
            stale_for,
            load_timeout: load_timeout.unwrap_or(u64::MAX),
            held: BTreeMap::new(),
            from: BTreeMap::new(),
            flying: Vec::new(),
            invalidated: BTreeMap::new(),
            moments: 0,
            stats: CacheStats::default(),
            gone: Vec::new(),
            wakes: Vec::new(),
        };
        let mut time = 1_000u64;
        let mut tickets: Vec<Ticket> = Vec::new();
        let mut wakes = Wakes::new();
        let key = |id: u32| Key { id, hash: id };
        for op in ops {
            let now = Instant::from_micros(time);
            let lately = |which: usize| {
                let some = tickets.len().min(6);
                (some > 0).then(|| tickets[tickets.len() - 1 - which % some])
            };
            match op {
                Op::Get(id) => prop_assert_eq!(cache.get(now, key(id)), plain.get(time, id)),
                Op::Missed => {
                    cache.missed(now, 99);
                    plain.expire(time);
                    plain.stats.misses += 1;
                }
                Op::Set(id, weight, ttl, from) => {
                    let store = Store { weight, ttl: ttl.map(micros), depends_on: &from };
                    prop_assert_eq!(cache.set(now, key(id), store), Stored::Kept);
                    plain.expire(time);
                    plain.detach(id);
                    plain.keep(time, id, weight, ttl.unwrap_or(plain.ttl), Some(&from));
                    plain.prune();
                }
                Op::Load(id) => {
                    let load = cache.load(now, key(id));
                    let found = plain.get(time, id);
                    let is_flying = plain.current(id).is_some();
                    match load {
                        Load::Fresh => prop_assert_eq!(found, Lookup::Fresh),
                        Load::Negative => prop_assert_eq!(found, Lookup::Negative),
                        Load::Stale(None) => prop_assert!(found == Lookup::Stale && is_flying),
                        Load::Stale(Some(pilot)) | Load::Run(pilot) => {
                            let expected = if matches!(load, Load::Run(_)) { Lookup::Missing } else { Lookup::Stale };
                            prop_assert!(found == expected && !is_flying);
                            plain.begin(time, id, pilot);
                            tickets.push(pilot);
                        }
                        Load::Wait(waiter) => {
                            prop_assert!(found == Lookup::Missing && is_flying);
                            plain.current(id).unwrap().waiters.push(waiter);
                            plain.stats.coalesced += 1;
                            tickets.push(waiter);
                        }
                        Load::Refused(_) => panic!("there is room"),
                    }
                }
                Op::Loaded(which, weight, ttl, from) => if let Some(pilot) = lately(which) {
                    let store = Store { weight, ttl: ttl.map(micros), depends_on: &from };
                    let stored = cache.loaded(now, pilot, store, &mut wakes);
                    plain.expire(time);
                    let expected = plain.land(pilot, Why::Ready).map(|flight| {
                        let outdated = |id: &u32| plain.invalidated.get(id).is_some_and(|at| *at > flight.began);
                        if !flight.counts || from.iter().any(outdated) {
                            return Stored::Outdated;
                        }
                        plain.keep(time, flight.key, weight, ttl.unwrap_or(plain.ttl), Some(&from));
                        plain.prune();
                        Stored::Kept
                    });
                    prop_assert_eq!(stored.ok(), expected);
                },
                Op::Failed(which) => if let Some(pilot) = lately(which) {
                    let remembered = cache.failed(now, pilot, &mut wakes);
                    plain.expire(time);
                    let expected = plain.land(pilot, Why::Failed).map(|flight| {
                        plain.stats.load_failures += 1;
                        let remembers = flight.counts && negative_ttl > 0 && !plain.held.contains_key(&flight.key);
                        if remembers {
                            plain.keep(time, flight.key, 1, negative_ttl, None);
                        }
                        remembers
                    });
                    prop_assert_eq!(remembered.ok(), expected);
                },
                Op::Abandon(which) => if let Some(ticket) = lately(which) {
                    let done = cache.abandon(now, ticket, &mut wakes);
                    plain.expire(time);
                    prop_assert_eq!(done.is_ok(), plain.abandon(time, ticket));
                },
                Op::Invalidate(id) => prop_assert_eq!(cache.invalidate(id), plain.invalidate(id, true)),
                Op::InvalidateBy(id) => prop_assert_eq!(cache.invalidate_by(id), plain.invalidate(id, false)),
                Op::Delete(id) => {
                    let was = cache.delete(id);
                    plain.detach(id);
                    prop_assert_eq!(was, plain.drop_held(id, Gone::Invalidated));
                    plain.prune();
                }
                Op::Clear => {
                    cache.clear();
                    for id in 0..7 {
                        plain.detach(id);
                        plain.drop_held(id, Gone::Invalidated);
                    }
                    plain.from.clear();
                }
                Op::Tick(passed) => {
                    time += passed;
                    cache.on_deadline(Instant::from_micros(time), &mut wakes);
                    plain.on_deadline(time);
                }
                Op::Pass(passed) => time += passed,
            }
            let woken: Vec<_> = std::iter::from_fn(|| wakes.pop()).map(|wake| (wake.ticket, wake.why)).collect();
            prop_assert_eq!(woken, std::mem::take(&mut plain.wakes));
            let mut gone = Vec::new();
            while let Some((id, why)) = cache.pop_gone() {
                if why == Gone::Forgotten {
                    let flies = plain.current(id).is_some();
                    prop_assert!(!plain.held.contains_key(&id) && !flies);
                    prop_assert!(!plain.from.contains_key(&id) && !plain.from.values().flatten().any(|other| *other == id));
                } else {
                    gone.push((id, why));
                }
            }
            prop_assert!(!cache.has_gone());
            let held = &plain.held;
            let mut expected: Vec<_> = std::mem::take(&mut plain.gone);
            // One that was written again since stays.
            expected.retain(|(id, _)| !held.contains_key(id));
            gone.sort_unstable_by_key(|(id, _)| *id);
            expected.sort_unstable_by_key(|(id, _)| *id);
            prop_assert_eq!(gone, expected);
            prop_assert_eq!((cache.len(), cache.is_empty()), (plain.held.len(), plain.held.is_empty()));
            prop_assert_eq!(cache.weight(), plain.held.values().map(|held| u64::from(held.weight)).sum::<u64>());
            prop_assert_eq!(format!("{:?}", cache.stats()), format!("{:?}", plain.stats));
            prop_assert_eq!(cache.next_deadline(), plain.next_deadline().map(Instant::from_micros));
            for id in 0..7 {
                prop_assert_eq!(cache.peek(Instant::from_micros(time), id), plain.look(time, id));
            }
        }
    }
}
