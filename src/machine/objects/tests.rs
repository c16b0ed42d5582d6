use super::*;
use core::time::Duration;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn at(micros: u64) -> Instant {
    Instant::from_micros(micros)
}

fn plain(max: u32) -> ObjectsConfig {
    ObjectsConfig::new(max).unwrap()
}

struct Bench {
    objects: Objects,
    wakes: Wakes,
    now: Instant,
}

impl Bench {
    fn new(config: ObjectsConfig) -> Self {
        Self {
            objects: Objects::new(config),
            wakes: Wakes::new(),
            now: Instant::ZERO,
        }
    }

    fn acquire(&mut self, key: u32, patience: Patience) -> Acquire {
        self.objects.acquire(self.now, key, patience, &mut self.wakes)
    }

    fn made(&mut self, key: u32) -> Ticket {
        match self.acquire(key, Patience::None) {
            Acquire::Now(Grant::Create(object)) => {
                self.objects.made(self.now, object).unwrap();
                object
            }
            other => panic!("{other:?}"),
        }
    }

    fn waits(&mut self, key: u32) -> Ticket {
        match self.acquire(key, Patience::Micros(100)) {
            Acquire::Waiting(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn give_back(&mut self, object: Ticket) -> Returned {
        self.objects
            .give_back(self.now, object, true, &mut self.wakes)
            .unwrap()
    }

    fn at(&mut self, micros: u64) {
        self.now = at(micros);
        self.objects.on_deadline(self.now, &mut self.wakes);
    }

    fn woken(&mut self) -> Option<(Ticket, Why)> {
        self.wakes.pop().map(|wake| (wake.ticket, wake.why))
    }
}

#[test]
fn objects_are_counted_whoever_has_them() {
    let mut bench = Bench::new(plain(3));
    assert!(bench.objects.is_empty() && !bench.objects.has_doomed());
    let [first, _] = [bench.made(1), bench.made(2)];
    assert_eq!(
        (
            bench.objects.len(),
            bench.objects.idle(),
            bench.objects.is_empty()
        ),
        (2, 0, false)
    );
    bench.give_back(first);
    assert_eq!((bench.objects.len(), bench.objects.idle()), (2, 1));
    let Acquire::Now(Grant::Create(_)) = bench.acquire(2, Patience::None) else {
        panic!("there is room for it")
    };
    assert_eq!(bench.objects.len(), 3, "one that is being made is one");
}

#[test]
fn no_objects_at_all_is_refused_with_a_sentence() {
    let error = ObjectsConfig::new(0).unwrap_err();
    assert_eq!(error.to_string(), "Expected `max` to be an integer ≥ 1, got `0`");
    let error = plain(1).with_max_total(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Expected `maxTotal` to be an integer ≥ 1, got `0`"
    );
}

#[test]
fn the_one_returned_last_is_reused_first_and_hits_are_counted() {
    let mut b = Bench::new(plain(3));
    let (first, second) = (b.made(0), b.made(0));
    b.give_back(first);
    b.give_back(second);
    assert_eq!(b.acquire(0, Patience::None), Acquire::Now(Grant::Reuse(second)));
    assert_eq!(b.acquire(0, Patience::None), Acquire::Now(Grant::Reuse(first)));
    let counts = b.objects.counts;
    assert_eq!((counts.requests, counts.hits, counts.misses), (4, 2, 2));
    assert_eq!((counts.created, counts.returned, counts.destroyed), (2, 2, 0));
}

#[test]
fn at_most_max_of_a_key_and_those_who_wait_are_served_in_order() {
    let mut b = Bench::new(plain(1));
    let object = b.made(7);
    assert_eq!(b.acquire(7, Patience::None), Acquire::Refused(Refusal::NotNow));
    let (first, second) = (b.waits(7), b.waits(7));
    // Another key has places of its own.
    b.made(8);
    b.give_back(object);
    assert_eq!(b.woken(), Some((first, Why::Granted)));
    assert_eq!(b.objects.claim(first), Ok(Grant::Reuse(object)));
    let answer = b.objects.give_back(b.now, object, false, &mut b.wakes);
    assert_eq!(answer, Ok(Returned::Destroy));
    assert_eq!(b.woken(), Some((second, Why::Granted)));
    assert!(matches!(b.objects.claim(second), Ok(Grant::Create(_))));
}

#[test]
fn waits_before_t_and_is_turned_away_at_t() {
    let mut b = Bench::new(plain(1));
    let object = b.made(0);
    let waiter = b.waits(0);
    b.at(99);
    assert_eq!(b.woken(), None);
    b.at(100);
    assert_eq!(b.woken(), Some((waiter, Why::Refused(Refusal::QueueTimeout))));
    assert_eq!(b.give_back(object), Returned::Kept);
    assert_eq!(b.objects.idle(), 1);
}

#[test]
fn idle_objects_leave_at_t_and_not_before() {
    let mut b = Bench::new(plain(2).with_idle(Duration::from_micros(10)));
    let object = b.made(0);
    b.give_back(object);
    assert_eq!(b.objects.next_deadline(), Some(at(10)));
    b.at(9);
    assert_eq!(b.objects.pop_doomed(), None);
    b.at(10);
    assert_eq!(b.objects.pop_doomed(), Some(object));
    assert!(b.objects.is_empty() && b.objects.is_unused(0));
    assert_eq!(b.objects.next_deadline(), None);
}

#[test]
fn an_object_is_as_old_as_it_is_however_often_it_is_used() {
    let mut b = Bench::new(plain(2).with_max_age(Duration::from_micros(10)));
    let object = b.made(0);
    b.give_back(object);
    b.at(9);
    assert_eq!(b.acquire(0, Patience::None), Acquire::Now(Grant::Reuse(object)));
    b.at(10);
    assert_eq!(b.objects.pop_doomed(), None);
    assert_eq!(b.give_back(object), Returned::Destroy);
}

#[test]
fn an_invalid_object_is_replaced_without_waiting_again() {
    let mut b = Bench::new(plain(2));
    let (first, second) = (b.made(0), b.made(0));
    b.give_back(first);
    b.give_back(second);
    b.acquire(0, Patience::None);
    assert_eq!(b.objects.replace(second), Ok(Grant::Reuse(first)));
    assert!(matches!(b.objects.replace(first), Ok(Grant::Create(_))));
    let counts = b.objects.counts;
    assert_eq!((counts.hits, counts.misses, counts.invalid), (0, 3, 2));
    assert_eq!(b.objects.replace(first), Err(StaleTicket));
}

#[test]
fn a_failure_to_make_one_gives_the_place_to_the_next() {
    let mut b = Bench::new(plain(1));
    let Acquire::Now(Grant::Create(place)) = b.acquire(0, Patience::None) else {
        panic!()
    };
    let waiter = b.waits(0);
    b.objects.failed(b.now, place, &mut b.wakes).unwrap();
    assert_eq!(b.woken(), Some((waiter, Why::Granted)));
    assert!(matches!(b.objects.claim(waiter), Ok(Grant::Create(_))));
}

#[test]
fn what_was_handed_to_one_who_left_goes_to_the_next() {
    let mut b = Bench::new(plain(1));
    let object = b.made(0);
    let (first, second) = (b.waits(0), b.waits(0));
    b.give_back(object);
    b.woken();
    b.objects.cancel(b.now, first, &mut b.wakes).unwrap();
    assert_eq!(b.woken(), Some((second, Why::Granted)));
    assert_eq!(b.objects.claim(second), Ok(Grant::Reuse(object)));
    assert_eq!(b.objects.counts.hits, 1);
}

#[test]
fn a_bound_over_all_keys_makes_room_by_the_longest_idle() {
    let mut b = Bench::new(plain(2).with_max_total(2).unwrap());
    let (first, second) = (b.made(1), b.made(2));
    b.give_back(first);
    b.at(1);
    b.give_back(second);
    b.made(3);
    assert_eq!(b.objects.pop_doomed(), Some(first));
    // With all in use, whoever waited longest is served, whichever key comes back.
    assert_eq!(b.acquire(2, Patience::None), Acquire::Now(Grant::Reuse(second)));
    let waiter = b.waits(4);
    b.give_back(second);
    assert_eq!(b.woken(), Some((waiter, Why::Granted)));
    assert_eq!(b.objects.pop_doomed(), Some(second));
}

#[test]
fn closing_turns_away_those_who_wait_and_destroys_the_rest_as_it_comes_back() {
    let mut b = Bench::new(plain(2));
    let (used, idle) = (b.made(0), b.made(0));
    let waiter = b.waits(0);
    b.objects.close(b.now, &mut b.wakes);
    assert_eq!(b.woken(), Some((waiter, Why::Refused(Refusal::Closed))));
    assert_eq!(b.give_back(used), Returned::Destroy);
    assert_eq!(b.give_back(idle), Returned::Destroy);
    assert_eq!(b.acquire(0, Patience::Forever), Acquire::Refused(Refusal::Closed));
    assert!(b.objects.is_empty() && b.objects.is_unused(0));
}

proptest! {
    #[test]
    fn an_object_is_never_in_two_hands_and_no_more_exist_than_may(
        max in 1u32..3,
        total in prop::option::of(1u32..4),
        ops in prop::collection::vec((0u8..9, 0u32..3, 0u64..16), 1..120),
    ) {
        let mut config = plain(max).with_idle(Duration::from_micros(20)).with_max_age(Duration::from_micros(60));
        if let Some(total) = total { config = config.with_max_total(total).unwrap(); }
        let mut b = Bench::new(config);
        let mut making: BTreeMap<Ticket, u32> = BTreeMap::new();
        let mut used: BTreeMap<Ticket, u32> = BTreeMap::new();
        let mut kept: BTreeMap<Ticket, u32> = BTreeMap::new();
        let mut waits: Vec<(Ticket, u32)> = Vec::new();
        let mut served: BTreeMap<Ticket, u32> = BTreeMap::new();
        for (op, key, pick) in ops {
            let patience = match pick { 0..3 => Patience::None, 3..9 => Patience::Micros(pick), _ => Patience::Forever };
            let mut grants = Vec::new();
            let pick_of = |map: &BTreeMap<Ticket, u32>| map.iter().nth(pick as usize % map.len().max(1)).map(|(t, k)| (*t, *k));
            match op {
                0..=2 => match b.acquire(key, patience) {
                    Acquire::Now(grant) => {
                        prop_assert!(!waits.iter().any(|(_, k)| *k == key), "somebody barged");
                        grants.push((grant, key));
                    }
                    Acquire::Waiting(ticket) => waits.push((ticket, key)),
                    Acquire::Refused(refusal) => prop_assert_eq!(refusal, Refusal::NotNow),
                },
                3 => if let Some((object, key)) = pick_of(&making) {
                    making.remove(&object);
                    if pick % 3 == 0 { b.objects.failed(b.now, object, &mut b.wakes).unwrap(); }
                    else { b.objects.made(b.now, object).unwrap(); used.insert(object, key); }
                },
                4 | 5 => if let Some((object, key)) = pick_of(&used) {
                    used.remove(&object);
                    match b.objects.give_back(b.now, object, pick % 5 > 0, &mut b.wakes).unwrap() {
                        Returned::Kept => { kept.insert(object, key); }
                        Returned::Destroy => {}
                    }
                },
                6 => if let Some((object, key)) = pick_of(&used) {
                    used.remove(&object);
                    grants.push((b.objects.replace(object).unwrap(), key));
                },
                7 => if let Some((ticket, key)) = pick_of(&served) {
                    served.remove(&ticket);
                    if pick % 2 == 0 { b.objects.cancel(b.now, ticket, &mut b.wakes).unwrap(); }
                    else { grants.push((b.objects.claim(ticket).unwrap(), key)); }
                } else if !waits.is_empty() {
                    let (ticket, _) = waits.remove(pick as usize % waits.len());
                    b.objects.cancel(b.now, ticket, &mut b.wakes).unwrap();
                },
                _ => { let to = b.now.as_micros() + pick; b.at(to); }
            }
            while let Some((ticket, why)) = b.woken() {
                let at = waits.iter().position(|(t, _)| *t == ticket).expect("one answer each");
                let (_, key) = waits.remove(at);
                if why == Why::Granted {
                    prop_assert!(!waits[..at].iter().any(|(_, k)| *k == key), "out of order");
                    served.insert(ticket, key);
                }
            }
            while let Some(object) = b.objects.pop_doomed() { kept.remove(&object); }
            for (grant, key) in grants {
                match grant {
                    Grant::Reuse(object) => {
                        prop_assert_eq!(kept.remove(&object), Some(key), "not idle, or of another key");
                        prop_assert!(used.insert(object, key).is_none());
                    }
                    Grant::Create(object) => prop_assert!(making.insert(object, key).is_none()),
                }
            }
            for key in 0..3 {
                let places = b.objects.things.iter().filter(|(_, thing)| thing.key == key).count();
                prop_assert!(places <= max as usize);
                let idle = b.objects.keys.get(&key).map_or(0, |keyed| keyed.idle.len());
                let waiting = waits.iter().filter(|(_, k)| *k == key).count();
                prop_assert!(waiting == 0 || idle == 0, "an idle object and somebody who waits for it");
                prop_assert!(waiting == 0 || !b.objects.has_room(key), "room and somebody who waits for it");
            }
            prop_assert!(total.is_none_or(|total| b.objects.len() <= total as usize));
            prop_assert_eq!(b.objects.waiting(), waits.len());
            let held: BTreeSet<Ticket> = making.keys().chain(used.keys()).copied().collect();
            prop_assert!(held.iter().all(|object| b.objects.things.contains(*object)));
        }
    }
}
