use super::*;
use crate::machine::gate::Outcome;
use crate::machine::locks::{Answer, Claim, LockSet, Mode};
use crate::machine::permits::Patience;
use crate::machine::queue::QueueConfig;
use crate::machine::wait_for::Awaits;
use crate::machine::world::PoolConfig;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Instant = Instant::ZERO;

fn pool(world: &mut World, concurrency: u32) -> MachineId {
    let queue = QueueConfig::default();
    world.open_pool(PoolConfig { concurrency, queue }).unwrap()
}

fn run(world: &mut World, pool: MachineId) -> Waiter {
    match world.pool_request(NOW, pool, Ask::PLAIN) {
        Admission::Granted(ticket) => Waiter {
            machine: pool,
            ticket,
        },
        other => panic!("{other:?}"),
    }
}

fn child(task: u64, parent: u64, place: Waiter) -> Child {
    let place = Some(place);
    Child {
        task,
        parent: Parent { task: parent, place },
    }
}

fn request(world: &mut World, pool: MachineId, child: Child) -> Admission {
    world.pool_request_for(NOW, pool, Ask::PLAIN, child)
}

fn wakes(world: &mut World) -> Vec<(Ticket, Why)> {
    std::iter::from_fn(|| world.wake())
        .map(|wake| (wake.ticket, wake.why))
        .collect()
}

#[test]
fn a_child_that_got_its_slot_from_the_queue_holds_it() {
    let mut world = World::new(1);
    let id = pool(&mut world, 1);
    let stranger = run(&mut world, id);
    let other = pool(&mut world, 1);
    let parent = run(&mut world, other);
    let Admission::Queued(ticket) = request(&mut world, id, child(2, 1, parent)) else {
        panic!("the slot is taken")
    };
    world
        .pool_release(NOW, id, stranger.ticket, Outcome::Success)
        .unwrap();
    assert_eq!(wakes(&mut world), [(ticket, Why::Granted)]);
    let place = Waiter { machine: id, ticket };
    let refused = request(&mut world, id, child(3, 2, place));
    assert_eq!(refused, Admission::Refused(Refusal::Deadlock));
}

#[test]
fn whoever_waits_for_a_lock_gives_way_by_a_wake_when_the_host_asks_for_a_verdict() {
    let mut world = World::new(1);
    let set = world.open_locks(LockSet::new()).unwrap();
    // From here on nothing is judged before the host asks.
    world.told();
    let take = |world: &mut World, lock, owner| {
        let claim = Claim {
            locks: &[lock],
            mode: Mode::Ordered,
            owner: Some(owner),
            patience: Patience::Forever,
        };
        world
            .at_locks(NOW, set, |locks, graph, wakes| {
                locks.claim(NOW, claim, graph, wakes)
            })
            .unwrap()
    };
    assert!(matches!(take(&mut world, 1, 1), Answer::Granted(_)));
    assert!(matches!(take(&mut world, 2, 2), Answer::Granted(_)));
    assert!(matches!(take(&mut world, 2, 1), Answer::Waiting(_)));
    let Answer::Waiting(youngest) = take(&mut world, 1, 2) else {
        panic!("nobody has judged yet")
    };
    assert_eq!(world.judge(NOW), None);
    assert_eq!(wakes(&mut world), [(youngest, Why::Refused(Refusal::Deadlock))]);
}

#[test]
fn a_task_that_awaits_its_own_full_pool_is_told_and_the_chain_names_both() {
    let mut world = World::new(1);
    let id = pool(&mut world, 1);
    let task = run(&mut world, id);
    let refused = request(&mut world, id, child(2, 1, task));
    assert_eq!(refused, Admission::Refused(Refusal::Deadlock));
    let chain = world.take_chain(None).unwrap();
    assert_eq!(
        chain[0],
        Link {
            owner: Owner::Named(2),
            awaits: Awaits::Resource(pool_of(id))
        }
    );
    assert_eq!(
        chain[1],
        Link {
            owner: Owner::Named(1),
            awaits: Awaits::End
        }
    );
    assert_eq!(world.pool(id).unwrap().queued(), 0);
    world
        .pool_release(NOW, id, task.ticket, Outcome::Success)
        .unwrap();
    assert!(world.families.graph.is_empty() && world.families.known.is_empty());
}

#[test]
fn of_two_that_fill_the_pool_the_second_to_wait_gives_way_and_the_first_is_served() {
    let mut world = World::new(1);
    let id = pool(&mut world, 2);
    let (first, second) = (run(&mut world, id), run(&mut world, id));
    let Admission::Queued(waits) = request(&mut world, id, child(11, 1, first)) else {
        panic!()
    };
    let refused = request(&mut world, id, child(12, 2, second));
    assert_eq!(refused, Admission::Refused(Refusal::Deadlock));
    world
        .pool_release(NOW, id, second.ticket, Outcome::Failure)
        .unwrap();
    assert_eq!(wakes(&mut world), [(waits, Why::Granted)]);
    world.pool_release(NOW, id, waits, Outcome::Success).unwrap();
    world
        .pool_release(NOW, id, first.ticket, Outcome::Success)
        .unwrap();
    assert!(world.families.graph.is_empty());
}

#[test]
fn a_crawler_that_feeds_its_own_pool_and_names_nobody_is_never_turned_away() {
    let mut world = World::new(1);
    let id = pool(&mut world, 2);
    let mut running: VecDeque<Ticket> = [run(&mut world, id).ticket, run(&mut world, id).ticket].into();
    let mut found = 0;
    while let Some(page) = running.pop_front() {
        for _ in 0..2 {
            if found < 50 {
                found += 1;
                assert!(matches!(
                    world.pool_request(NOW, id, Ask::PLAIN),
                    Admission::Queued(_)
                ));
            }
        }
        world.pool_release(NOW, id, page, Outcome::Success).unwrap();
        running.extend(wakes(&mut world).into_iter().map(|(ticket, why)| {
            assert_eq!(why, Why::Granted);
            ticket
        }));
    }
    assert_eq!(world.pool(id).unwrap().counts.completed, 52);
}

#[test]
fn shrinking_the_pool_turns_the_waiter_away_by_a_wake() {
    let mut world = World::new(1);
    let id = pool(&mut world, 2);
    let task = run(&mut world, id);
    run(&mut world, id);
    let Admission::Queued(waits) = request(&mut world, id, child(2, 1, task)) else {
        panic!()
    };
    world.pool_resize(NOW, id, 1);
    assert_eq!(wakes(&mut world), [(waits, Why::Refused(Refusal::Deadlock))]);
    assert_eq!(
        world
            .take_chain(Some(Waiter {
                machine: id,
                ticket: waits
            }))
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_cycle_through_a_pool_and_a_lock_is_one_graph() {
    let mut world = World::new(1);
    let (id, locks) = (pool(&mut world, 1), world.open_locks(LockSet::new()).unwrap());
    let claim = |owner| Claim {
        locks: &[7],
        mode: Mode::Ordered,
        owner: Some(owner),
        patience: Patience::Forever,
    };
    let take = |world: &mut World, owner| {
        world
            .at_locks(NOW, locks, |locks, graph, wakes| {
                locks.claim(NOW, claim(owner), graph, wakes)
            })
            .unwrap()
    };
    // Task 1 holds the lock; task 2, in the pool, waits for it; a child of task 1 waits for the pool.
    assert!(matches!(take(&mut world, 1), Answer::Granted(_)));
    let second = run(&mut world, id);
    let parent = Parent {
        task: 2,
        place: Some(second),
    };
    world.declare_task(parent);
    assert!(matches!(take(&mut world, 2), Answer::Waiting(_)));
    let orphan = Child {
        task: 3,
        parent: Parent { task: 1, place: None },
    };
    assert_eq!(
        request(&mut world, id, orphan),
        Admission::Refused(Refusal::Deadlock)
    );
    assert_eq!(world.take_chain(None).unwrap().len(), 3);
}

#[test]
fn a_task_whose_slots_were_taken_back_is_still_what_its_parent_waits_for() {
    let mut world = World::new(1);
    let (outer, inner) = (pool(&mut world, 1), pool(&mut world, 1));
    let parent = run(&mut world, outer);
    let Admission::Granted(ticket) = request(&mut world, inner, child(2, 1, parent)) else {
        panic!("the slot is free")
    };
    world.pool_cancel(NOW, inner, ticket).unwrap();
    // It goes on all the same, and asks for the slot that its parent keeps until it ends.
    let abandoned = Waiter {
        machine: inner,
        ticket,
    };
    let refused = request(&mut world, outer, child(3, 2, abandoned));
    assert_eq!(refused, Admission::Refused(Refusal::Deadlock));
}

#[test]
fn whoever_leaves_the_queue_or_the_slots_leaves_the_graph() {
    let mut world = World::new(1);
    let (id, other) = (pool(&mut world, 1), pool(&mut world, 1));
    let task = run(&mut world, id);
    run(&mut world, other);
    let Admission::Queued(waits) = request(&mut world, other, child(2, 1, task)) else {
        panic!()
    };
    world.pool_cancel(NOW, other, waits).unwrap();
    assert_eq!(world.families.graph.waiting(), 0);
    // One whose slots were taken back holds nothing, so its own pool is free for its child.
    world.pool_cancel(NOW, id, task.ticket).unwrap();
    assert!(matches!(
        request(&mut world, id, child(3, 1, task)),
        Admission::Granted(_)
    ));
    world.drop_pool(id);
    world.drop_pool(other);
    assert!(world.families.known.is_empty());
}
