use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn house() -> (State, Wakes) {
    (State::new(StateConfig::default()), Wakes::new())
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn woken(wakes: &mut Wakes) -> Vec<(Ticket, Why)> {
    std::iter::from_fn(|| wakes.pop())
        .map(|wake| (wake.ticket, wake.why))
        .collect()
}

fn told(state: &mut State) -> Vec<(Ticket, u32)> {
    std::iter::from_fn(|| state.pop_change())
        .map(|change| (change.subscriber, change.key))
        .collect()
}

#[test]
fn a_version_never_comes_back_even_after_a_deletion() {
    let (mut state, mut wakes) = house();
    let first = state.set(1, &mut wakes);
    assert!(state.delete(1, &mut wakes));
    assert_eq!(state.version(1), 0);
    let again = state.set(1, &mut wakes);
    assert!(again > first);
    assert_eq!(
        state.compare_and_set(1, first, &mut wakes),
        Err(VersionConflict { current: again })
    );
    assert!(!state.delete(2, &mut wakes));
}

#[test]
fn compare_and_set_writes_over_what_was_seen_and_over_nothing_else() {
    let (mut state, mut wakes) = house();
    let version = state.compare_and_set(1, 0, &mut wakes).unwrap();
    let next = state.compare_and_set(1, version, &mut wakes).unwrap();
    let late = state.compare_and_set(1, version, &mut wakes);
    assert_eq!(late, Err(VersionConflict { current: next }));
    assert_eq!((state.stats().writes, state.stats().conflicts), (2, 1));
}

#[test]
fn an_update_that_nobody_disturbs_is_written_at_once() {
    let (mut state, mut wakes) = house();
    let update = state.begin_update(1).unwrap();
    assert_eq!(state.commit(update, &mut wakes), Ok(Update::Written(1)));
    assert_eq!(state.commit(update, &mut wakes), Err(StaleTicket));
}

#[test]
fn those_who_lose_try_again_one_after_the_other() {
    let (mut state, mut wakes) = house();
    let [first, second, third, fourth] = [0; 4].map(|_| state.begin_update(1).unwrap());
    assert!(matches!(state.commit(first, &mut wakes), Ok(Update::Written(_))));
    assert_eq!(state.commit(second, &mut wakes), Ok(Update::Again));
    assert_eq!(state.commit(third, &mut wakes), Ok(Update::Wait));
    assert_eq!(state.commit(fourth, &mut wakes), Ok(Update::Wait));
    assert!(matches!(state.commit(second, &mut wakes), Ok(Update::Written(_))));
    assert_eq!(woken(&mut wakes), [(third, Why::Granted)]);
    state.leave(third, &mut wakes).unwrap();
    assert_eq!(woken(&mut wakes), [(fourth, Why::Granted)]);
    assert!(matches!(state.commit(fourth, &mut wakes), Ok(Update::Written(_))));
    assert!(!state.turns.contains_key(&1));
}

#[test]
fn a_hundred_updates_at_once_are_each_computed_about_twice() {
    let (mut state, mut wakes) = house();
    let mut open: Vec<Ticket> = (0..100).map(|_| state.begin_update(1).unwrap()).collect();
    let mut attempts = 0;
    while let Some(ticket) = open.pop() {
        attempts += 1;
        if state.commit(ticket, &mut wakes) == Ok(Update::Again) {
            open.insert(0, ticket);
        }
        open.extend(woken(&mut wakes).into_iter().map(|(ticket, _)| ticket));
    }
    assert_eq!(state.stats().updates, 100);
    assert!(attempts <= 200, "{attempts}");
}

#[test]
fn an_update_that_never_succeeds_is_refused_in_the_end() {
    let mut state = State::new(StateConfig {
        attempts: NonZeroU32::new(3).unwrap(),
    });
    let mut wakes = Wakes::new();
    let update = state.begin_update(1).unwrap();
    for expected in [Update::Again, Update::Again, Update::Refused(Refusal::Conflict)] {
        state.set(1, &mut wakes);
        assert_eq!(state.commit(update, &mut wakes), Ok(expected));
    }
    assert!(!state.updating.contains_key(&1));
}

#[test]
fn subscribers_of_a_key_and_of_its_prefix_hear_of_every_change_in_order() {
    let (mut state, mut wakes) = house();
    let [users, ann, bob] = [100, 1, 2];
    let of_ann = state.subscribe(ann).unwrap();
    let of_users = state.subscribe(users).unwrap();
    for key in [ann, bob, ann] {
        state.join(key, users);
    }
    state.set(bob, &mut wakes);
    state.set(ann, &mut wakes);
    state.delete(ann, &mut wakes);
    state.set(3, &mut wakes);
    let expected = [
        (of_users, bob),
        (of_ann, ann),
        (of_users, ann),
        (of_ann, ann),
        (of_users, ann),
    ];
    assert_eq!(told(&mut state), expected);
}

#[test]
fn who_unsubscribes_hears_no_more_not_even_what_has_already_happened() {
    let (mut state, mut wakes) = house();
    let subscriber = state.subscribe(100).unwrap();
    state.join(1, 100);
    state.set(1, &mut wakes);
    state.leave(subscriber, &mut wakes).unwrap();
    assert_eq!(told(&mut state), []);
    assert_eq!(state.leave(subscriber, &mut wakes), Err(StaleTicket));
    assert!(state.members.is_empty() && state.prefixes_of.is_empty());
    assert!(!state.knows(100));
}

#[test]
fn a_key_whose_id_goes_to_another_name_belongs_to_no_prefix() {
    let (mut state, mut wakes) = house();
    state.subscribe(100).unwrap();
    state.join(1, 100);
    state.forget(1);
    state.set(1, &mut wakes);
    assert_eq!(told(&mut state), []);
}

#[test]
fn a_wait_is_told_of_changes_until_it_has_seen_what_it_waits_for() {
    let (mut state, mut wakes) = house();
    let waiter = state.wait(1, at(10)).unwrap();
    state.set(2, &mut wakes);
    assert!(wakes.is_empty());
    state.set(1, &mut wakes);
    state.delete(1, &mut wakes);
    assert_eq!(woken(&mut wakes), [(waiter, Why::Ready), (waiter, Why::Ready)]);
    state.leave(waiter, &mut wakes).unwrap();
    assert_eq!(state.next_deadline(), None);
    assert!(!state.knows(1));
}

#[test]
fn a_wait_is_refused_at_its_time_and_not_before() {
    let (mut state, mut wakes) = house();
    let waiter = state.wait(1, at(10)).unwrap();
    state.wait(1, Instant::FAR_FUTURE).unwrap();
    assert_eq!(state.next_deadline(), Some(at(10)));
    state.on_deadline(Instant::from_micros(9_999_999), &mut wakes);
    assert!(wakes.is_empty());
    state.on_deadline(at(10), &mut wakes);
    state.on_deadline(at(10), &mut wakes);
    let timeout = Why::Refused(Refusal::QueueTimeout);
    assert_eq!(woken(&mut wakes), [(waiter, timeout)]);
    assert_eq!(state.stats().timeouts, 1);
    assert_eq!(state.leave(waiter, &mut wakes), Err(StaleTicket));
}

#[test]
fn an_id_is_known_as_long_as_anybody_or_anything_needs_it() {
    let (mut state, mut wakes) = house();
    assert!(state.is_empty() && !state.knows(1));
    state.set(1, &mut wakes);
    assert!(state.knows(1) && !state.is_empty());
    assert_eq!((state.len(), state.revision()), (1, 1));
    assert_eq!(state.entries().collect::<Vec<_>>(), [(1, 1)]);
    state.delete(1, &mut wakes);
    assert!(state.is_empty() && !state.knows(1));
    assert_eq!((state.len(), state.revision()), (0, 2));
    type Hold = fn(&mut State) -> Ticket;
    let holds: [Hold; 3] = [
        |state| state.subscribe(1).unwrap(),
        |state| state.wait(1, at(5)).unwrap(),
        |state| state.begin_update(1).unwrap(),
    ];
    for hold in holds {
        // The second of two goes, and the first still needs it.
        let [first, second] = [hold(&mut state), hold(&mut state)];
        assert_eq!(state.leave(second, &mut wakes), Ok(()));
        assert!(state.knows(1));
        assert_eq!(state.leave(first, &mut wakes), Ok(()));
        assert!(!state.knows(1));
    }
}

#[test]
fn a_change_says_its_version_and_none_for_a_deletion() {
    let (mut state, mut wakes) = house();
    let subscriber = state.subscribe(1).unwrap();
    let version = state.set(1, &mut wakes);
    state.delete(1, &mut wakes);
    let told: Vec<Change> = std::iter::from_fn(|| state.pop_change()).collect();
    let change = |version| Change {
        subscriber,
        key: 1,
        version,
    };
    assert_eq!(told, [change(version), change(0)]);
    assert_eq!(state.stats().writes, 2);
}

#[test]
fn waits_that_end_early_are_not_remembered_until_their_time() {
    let (mut state, mut wakes) = house();
    for n in 0..1000 {
        let waiter = state.wait(1, at(n + 1)).unwrap();
        state.leave(waiter, &mut wakes).unwrap();
    }
    let mut left = 0;
    while state.deadlines.pop(|_| true).is_some() {
        left += 1;
    }
    assert!(left < 100, "{left}");
    assert!(state.waiters.is_empty());
}

#[test]
fn one_prefix_that_nobody_listens_to_any_more_leaves_the_others_of_its_keys() {
    let (mut state, mut wakes) = house();
    let [one, other] = [100, 200].map(|prefix| state.subscribe(prefix).unwrap());
    for prefix in [100, 200] {
        state.join(1, prefix);
    }
    state.leave(one, &mut wakes).unwrap();
    state.set(1, &mut wakes);
    assert_eq!(told(&mut state), [(other, 1)]);
    assert_eq!(state.prefixes_of[&1], [200]);
    // The same key under a new name belongs to neither.
    state.forget(1);
    assert!(state.members[&200].is_empty());
    state.leave(other, &mut wakes).unwrap();
    assert!(state.members.is_empty() && state.prefixes_of.is_empty());
}

#[test]
fn an_update_may_be_tried_exactly_as_often_as_allowed() {
    let mut wakes = Wakes::new();
    for allowed in 1..5 {
        let mut state = State::new(StateConfig {
            attempts: NonZeroU32::new(allowed).unwrap(),
        });
        let update = state.begin_update(1).unwrap();
        let mut tries = 0;
        loop {
            tries += 1;
            state.set(1, &mut wakes);
            match state.commit(update, &mut wakes) {
                Ok(Update::Again) => {}
                last => break assert_eq!(last, Ok(Update::Refused(Refusal::Conflict))),
            }
        }
        assert_eq!((tries, state.stats().conflicts), (allowed, u64::from(allowed)));
        assert_eq!(state.stats().updates, 0);
    }
}

proptest! {
    // The model: a number per key, to which each update adds one after reading it some time before.
    #[test]
    fn no_update_is_lost_whatever_comes_between(ops in prop::collection::vec((0u8..6, 0u32..3, 0usize..8), 1..150)) {
        let (mut state, mut wakes) = house();
        let mut values: BTreeMap<u32, u64> = BTreeMap::new();
        let mut added: BTreeMap<u32, u64> = BTreeMap::new();
        // Updates that may commit, with the value they read; and those that wait for their turn.
        let mut computing: Vec<(Ticket, u32, u64)> = Vec::new();
        let mut waiting: Vec<(Ticket, u32)> = Vec::new();
        for (op, key, pick) in ops {
            match op {
                0 | 1 => computing.push((state.begin_update(key).unwrap(), key, values.get(&key).copied().unwrap_or(0))),
                2 | 3 if !computing.is_empty() => {
                    let (ticket, key, read) = computing.swap_remove(pick % computing.len());
                    match state.commit(ticket, &mut wakes).unwrap() {
                        Update::Written(version) => {
                            prop_assert_eq!(state.version(key), version);
                            values.insert(key, read + 1);
                            *added.entry(key).or_default() += 1;
                        }
                        Update::Again => computing.push((ticket, key, values[&key])),
                        Update::Wait => waiting.push((ticket, key)),
                        Update::Refused(_) => {}
                    }
                }
                4 if !computing.is_empty() => {
                    let (ticket, ..) = computing.swap_remove(pick % computing.len());
                    state.leave(ticket, &mut wakes).unwrap();
                }
                _ => {
                    // A write beside the updates: it counts as an addition too.
                    state.set(key, &mut wakes);
                    *values.entry(key).or_default() += 1;
                    *added.entry(key).or_default() += 1;
                }
            }
            while let Some(wake) = wakes.pop() {
                prop_assert_eq!(wake.why, Why::Granted);
                let at = waiting.iter().position(|(ticket, _)| *ticket == wake.ticket).unwrap();
                let (ticket, key) = waiting.remove(at);
                computing.push((ticket, key, values.get(&key).copied().unwrap_or(0)));
            }
            // Nobody waits for a turn that nobody has.
            for (_, key) in &waiting { prop_assert!(computing.iter().any(|(_, other, _)| other == key)); }
            prop_assert_eq!(&values, &added);
        }
        for (ticket, ..) in computing { let _ = state.leave(ticket, &mut wakes); }
        while let Some(wake) = wakes.pop() { let _ = state.leave(wake.ticket, &mut wakes); }
        prop_assert!(state.turns.is_empty() && state.updating.is_empty() && state.holders.is_empty());
    }
}
