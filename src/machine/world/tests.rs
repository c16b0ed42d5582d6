use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KINDS: [Kind; 17] = [
    Kind::Pool,
    Kind::Breaker,
    Kind::Limiter,
    Kind::RetryBudget,
    Kind::Cache,
    Kind::State,
    Kind::Graph,
    Kind::Batches,
    Kind::Run,
    Kind::Orchestrator,
    Kind::Locks,
    Kind::Channel,
    Kind::Event,
    Kind::Barrier,
    Kind::Objects,
    Kind::Dispatch,
    Kind::Told,
];

fn id(kind: u32, index: u32) -> MachineId {
    MachineId((kind << INDEX_BITS) | index)
}

#[test]
fn an_id_tells_its_kind_and_its_index() {
    for kind in KINDS {
        for index in [0, 1, 77, (1 << INDEX_BITS) - 1] {
            let id = id(kind as u32, index);
            assert_eq!(kind_of(id), Some(kind));
            assert_eq!(index_of(id), index as usize);
        }
    }
    let known: Vec<u32> = KINDS.iter().map(|kind| *kind as u32).collect();
    for number in (0..256).filter(|number| !known.contains(number)) {
        assert_eq!(kind_of(id(number, 0)), None);
    }
}

#[test]
fn an_id_finds_its_machine_and_no_other_until_that_is_gone() {
    let mut table = Table::new(Kind::Event);
    let [a, b] = ["a", "b"].map(|name| table.insert(name).unwrap());
    assert_eq!((table.get(a), table.get(b)), (Some(&"a"), Some(&"b")));
    // Of another kind, at the same index.
    let stranger = id(Kind::Barrier as u32, index_of(a) as u32);
    assert_eq!(table.get(stranger), None);
    assert_eq!(table.remove(stranger), None);
    assert_eq!(table.get(id(Kind::Event as u32, 9)), None);
    *table.get_mut(b).unwrap() = "c";
    assert_eq!(table.remove(b), Some("c"));
    assert_eq!(table.get(b), None);
    assert_eq!(table.get_mut(b), None);
    assert_eq!(table.remove(b), None);
    assert_eq!(table.get(a), Some(&"a"));
}

#[test]
fn what_time_does_to_a_kind_is_said_once() {
    fn first(world: &mut World, _: Instant, _: MachineId) {
        world.random = Random::new(1);
    }
    fn second(world: &mut World, _: Instant, _: MachineId) {
        world.random = Random::new(2);
    }
    let mut world = World::new(0);
    world.in_time(Kind::Cache, first);
    world.in_time(Kind::Cache, second);
    world.in_time(Kind::State, second);
    assert_eq!(world.handlers.len(), 2);
    let drawn = |world: &World| world.random.clone().bits();
    world
        .timers
        .arm(id(Kind::Cache as u32, 3), Some(Instant::from_micros(5)));
    world.on_deadline(Instant::from_micros(4));
    assert_eq!(drawn(&world), Random::new(0).bits());
    world.on_deadline(Instant::from_micros(5));
    assert_eq!(drawn(&world), Random::new(1).bits());
    // A kind without a handler is called in vain.
    world
        .timers
        .arm(id(Kind::Told as u32, 3), Some(Instant::from_micros(5)));
    world.on_deadline(Instant::from_micros(5));
    assert_eq!(world.next_deadline(), None);
    world.reseed(9);
    assert_eq!(drawn(&world), Random::new(9).bits());
}

#[test]
fn a_pool_that_cools_down_grants_nothing_before_t_and_at_t() {
    use crate::machine::permits::{Admission, Ask};
    use crate::machine::queue::QueueConfig;
    let mut world = World::new(1);
    let queue = QueueConfig::default();
    let pool = world
        .open_pool(PoolConfig {
            concurrency: 1,
            queue,
        })
        .unwrap();
    world.pool_cool_down(pool, Instant::from_micros(9));
    let Admission::Queued(ticket) = world.pool_request(Instant::ZERO, pool, Ask::PLAIN) else {
        panic!("it cools down");
    };
    world.on_deadline(Instant::from_micros(8));
    assert_eq!(world.wake(), None);
    world.on_deadline(Instant::from_micros(9));
    assert_eq!(world.wake().map(|wake| wake.ticket), Some(ticket));
}

#[test]
fn a_budget_pays_for_as_many_retries_as_calls_have_paid_in() {
    use crate::machine::retry::{Decision, Failed, RetryBudget, RetryConfig};
    let mut world = World::new(1);
    let budget = world
        .open_retry_budget(RetryBudget::new(1.0, 0).unwrap())
        .unwrap();
    let failed = Failed {
        attempt: 1,
        started: Instant::ZERO,
        previous_delay: None,
        retry_after: None,
    };
    let retries = |world: &mut World| {
        let decision = world.retry_decide(Instant::ZERO, &RetryConfig::default(), failed, Some(budget));
        matches!(decision, Decision::Again { .. })
    };
    assert!(!retries(&mut world));
    world.retry_deposit(Instant::ZERO, budget);
    assert!(retries(&mut world));
    assert!(!retries(&mut world));
}

#[test]
fn the_number_of_what_a_host_decides_by_itself_goes_to_the_next() {
    let mut world = World::new(1);
    let [_first, second] = [(); 2].map(|()| world.open_told().unwrap());
    assert_eq!(kind_of(second), Some(Kind::Told));
    world.drop_told(second);
    let third = world.open_told().unwrap();
    assert_eq!(third, second);
    assert_ne!(world.open_told(), Some(third));
}

#[test]
fn what_was_dropped_is_not_there_and_nobody_waits_for_its_time() {
    use crate::machine::dispatch::{DispatchConfig, Job, Order};
    use crate::machine::locks::{Claim, LockSet, Mode};
    use crate::machine::permits::Patience;
    use core::time::Duration;
    let mut world = World::new(1);
    let locks = world.open_locks(LockSet::new()).unwrap();
    for owner in [1, 2] {
        world.at_locks(Instant::ZERO, locks, |locks, graph, wakes| {
            let claim = Claim {
                locks: &[7],
                mode: Mode::Ordered,
                owner: Some(owner),
                patience: Patience::Micros(5),
            };
            locks.claim(Instant::ZERO, claim, graph, wakes)
        });
    }
    assert!(world.locks(locks).is_some_and(|locks| locks.holder(7).is_some()));
    let config = DispatchConfig::new(1, 2)
        .unwrap()
        .with_task_timeout(Duration::from_micros(9));
    let dispatch = world.open_dispatch(config).unwrap();
    world.at_dispatch(dispatch, |dispatch| {
        dispatch.open(Instant::ZERO);
        let Some(Order::Spawn(worker)) = dispatch.pop_order() else {
            panic!("it has no worker yet")
        };
        dispatch.ready(Instant::ZERO, worker).unwrap();
        dispatch.submit(Instant::ZERO, Job::of(1)).unwrap();
    });
    assert!(world.dispatch(dispatch).is_some());
    assert_eq!(world.next_deadline(), Some(Instant::from_micros(5)));
    world.drop_locks(locks);
    assert!(world.locks(locks).is_none());
    assert_eq!(world.next_deadline(), Some(Instant::from_micros(9)));
    world.drop_dispatch(dispatch);
    assert!(world.dispatch(dispatch).is_none());
    assert_eq!(world.next_deadline(), None);
}

proptest! {
    /// As a map from machines to moments, searched from the beginning each time.
    #[test]
    fn timers_do_what_a_map_does(ops in prop::collection::vec((0u8..5, 0u32..3, 0u32..4, 0u64..30), 1..200)) {
        let mut timers = Timers::new();
        let mut armed: BTreeMap<MachineId, u64> = BTreeMap::new();
        let mut now = 0;
        for (op, kind, index, micros) in ops {
            let machine = id(kind + 1, index);
            match op {
                0 | 1 => {
                    timers.arm(machine, Some(Instant::from_micros(now + micros)));
                    armed.insert(machine, now + micros);
                }
                2 => {
                    timers.arm(machine, None);
                    armed.remove(&machine);
                }
                3 => {
                    timers.arm(machine, Some(Instant::FAR_FUTURE));
                    armed.remove(&machine);
                }
                _ => {
                    now += micros;
                    let mut due = timers.due(Instant::from_micros(now));
                    due.sort_unstable();
                    let expected: Vec<MachineId> = armed.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
                    prop_assert_eq!(due, expected);
                    armed.retain(|_, at| *at > now);
                }
            }
            let next = armed.values().min().map(|at| Instant::from_micros(*at));
            prop_assert_eq!(timers.next, next);
        }
    }

    #[test]
    fn timers_that_are_put_off_again_and_again_take_no_more_room(machines in 1u32..5) {
        let mut timers = Timers::new();
        // In front of all others, so that nobody comes by those that are behind it.
        timers.arm(id(2, 0), Some(Instant::ZERO));
        for at in 0..2_000u64 {
            for index in 0..machines {
                timers.arm(id(1, index), Some(Instant::from_micros(at + 1)));
            }
        }
        let mut lines = 0;
        while timers.line.pop(|_, _| true).is_some() {
            lines += 1;
        }
        prop_assert!(lines < 100, "{lines}");
    }
}
