use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn newcomer(name: u32, weight: u32) -> Newcomer {
    Newcomer {
        name,
        hash: name,
        weight,
    }
}

#[test]
fn with_a_window_of_everything_the_least_recently_used_leaves() {
    let mut residents = Residents::new(3, Favour::Recency);
    let (sketch, mut random, mut left) = (Sketch::default(), Random::new(1), Vec::new());
    let slots = [1, 2, 3].map(|n| residents.enter(newcomer(n, 1), &sketch, &mut random, &mut left));
    residents.touch(slots[0]);
    residents.enter(newcomer(4, 1), &sketch, &mut random, &mut left);
    assert_eq!(left, [2]);
}

#[test]
fn a_newcomer_seen_once_does_not_displace_what_is_asked_for_often() {
    let mut residents = Residents::new(3, Favour::Frequency);
    let (mut sketch, mut random, mut left) = (Sketch::default(), Random::new(1), Vec::new());
    sketch.fit(16);
    for n in [1, 2, 3] {
        (0..5).for_each(|_| sketch.add(n));
        residents.enter(newcomer(n, 1), &sketch, &mut random, &mut left);
    }
    for once in 10..15 {
        sketch.add(once);
        residents.enter(newcomer(once, 1), &sketch, &mut random, &mut left);
    }
    let stay: BTreeSet<u32> = residents.by_age().map(|n| n.name).collect();
    assert!(stay.contains(&2) && stay.contains(&1), "{stay:?}");
}

#[test]
fn a_window_that_is_just_full_keeps_all_of_its_own() {
    let mut residents = Residents::new(3, Favour::Recency);
    let (sketch, mut random, mut left) = (Sketch::default(), Random::new(1), Vec::new());
    for n in 1..=3 {
        residents.enter(newcomer(n, 1), &sketch, &mut random, &mut left);
    }
    let weight = |segment| residents.list(segment).weight;
    assert_eq!((weight(Segment::Window), weight(Segment::Probation)), (3, 0));
}

#[test]
fn four_fifths_of_the_main_part_are_protected() {
    let mut residents = Residents::new(500, Favour::Frequency);
    let (sketch, mut random, mut left) = (Sketch::default(), Random::new(1), Vec::new());
    let slots: Vec<u32> = (0..500)
        .map(|n| residents.enter(newcomer(n, 1), &sketch, &mut random, &mut left))
        .collect();
    // The five that came last are in the window.
    slots[..495].iter().for_each(|at| residents.touch(*at));
    let weight = |segment| residents.list(segment).weight;
    assert_eq!(
        (weight(Segment::Protected), weight(Segment::Probation)),
        (396, 99)
    );
    assert_eq!(residents.by_age().next().map(|first| first.name), Some(0));
}

#[test]
fn chance_lets_in_whom_many_ask_for_and_nobody_else() {
    let mut random = Random::new(1);
    let mut admitted = |asked: u32| {
        let mut sketch = Sketch::default();
        sketch.fit(16);
        (0..15).for_each(|_| sketch.add(1));
        (0..asked).for_each(|_| sketch.add(2));
        let contest = |_: &u32| {
            let (mut residents, mut left) = (Residents::new(2, Favour::Frequency), Vec::new());
            for n in 1..=3 {
                residents.enter(newcomer(n, 1), &sketch, &mut random, &mut left);
            }
            left == [1]
        };
        (0..6_400).filter(contest).count()
    };
    assert_eq!(admitted(u32::from(WARM) - 1), 0);
    let by_chance = admitted(u32::from(WARM));
    assert!((25..=100).contains(&by_chance), "{by_chance} of 50 expected");
}

proptest! {
    #[test]
    fn nobody_is_lost_or_counted_twice_and_the_bound_holds(
        capacity in 1u64..60,
        ops in prop::collection::vec((0u8..5, 0u32..40, 1u32..9), 1..300),
    ) {
        let mut residents = Residents::new(capacity, Favour::Frequency);
        let (mut sketch, mut random) = (Sketch::default(), Random::new(1));
        sketch.fit(16);
        let mut inside = std::collections::BTreeMap::new();
        for (op, name, weight) in ops {
            let mut left = Vec::new();
            sketch.add(name);
            match (op, inside.get(&name).copied()) {
                (0, Some((at, _))) => { residents.leave(at); inside.remove(&name); }
                (1, _) => residents.favour(Favour::Recency),
                (2, _) => residents.favour(Favour::Frequency),
                (_, Some((at, _))) => residents.touch(at),
                (_, None) => {
                    let at = residents.enter(newcomer(name, weight), &sketch, &mut random, &mut left);
                    inside.insert(name, (at, weight));
                }
            }
            for name in left { prop_assert!(inside.remove(&name).is_some()); }
            let names: Vec<u32> = residents.by_age().map(|n| n.name).collect();
            prop_assert_eq!(names.len(), inside.len());
            prop_assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), inside.keys().copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(residents.weight(), inside.values().map(|(_, w)| u64::from(*w)).sum::<u64>());
            prop_assert!(residents.weight() <= capacity);
            prop_assert_eq!(residents.len(), inside.len());
        }
    }
}
