use super::*;
use crate::machine::wakes::MachineId;
use proptest::prelude::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn owner(n: u64) -> Owner {
    Owner::Named(n)
}

fn resource(part: u32) -> Resource {
    Resource {
        machine: MachineId(1),
        part,
    }
}

fn waiter(n: u64) -> Waiter {
    Waiter {
        machine: MachineId(1),
        ticket: Ticket::from_bits(n),
    }
}

fn slots(part: u32, slots: u32, capacity: u32) -> Need {
    Need::Slots {
        resource: resource(part),
        slots,
        capacity,
    }
}

fn link(n: u64, awaits: Awaits) -> Link {
    Link {
        owner: owner(n),
        awaits,
    }
}

fn lock(part: u32) -> Awaits {
    Awaits::Resource(resource(part))
}

#[test]
fn two_locks_in_inverted_order_are_found_by_the_second_wait_and_named() {
    let mut graph = WaitFor::new();
    graph.hold(owner(1), resource(10), 1);
    graph.hold(owner(2), resource(20), 1);
    graph.wait(owner(1), waiter(1), &[slots(20, 1, 1)]).unwrap();
    let deadlock = graph.wait(owner(2), waiter(2), &[slots(10, 1, 1)]).unwrap_err();
    assert_eq!(deadlock.victim, waiter(2));
    assert_eq!(deadlock.chain, [link(2, lock(10)), link(1, lock(20))]);
    // The victim gives way, so the other one is served.
    graph.let_go(owner(2), resource(20), 1);
    assert_eq!(graph.pop_found(), None);
}

#[test]
fn a_task_that_awaits_its_own_full_pool_is_found_at_once() {
    let mut graph = WaitFor::new();
    let (pool, task, child) = (resource(0), owner(1), owner(2));
    graph.hold(task, pool, 1);
    graph.child(child, task);
    let deadlock = graph.wait(child, waiter(2), &[slots(0, 1, 1)]).unwrap_err();
    assert_eq!(deadlock.chain, [link(2, lock(0)), link(1, Awaits::End)]);
}

#[test]
fn what_is_told_late_is_judged_when_the_host_says_so_and_not_before() {
    let mut graph = WaitFor::new();
    graph.judge_later();
    let (pool, task, child) = (resource(0), owner(1), owner(2));
    graph.hold(task, pool, 1);
    graph.child(child, task);
    let wait = graph.wait(child, waiter(2), &[slots(0, 1, 1)]).unwrap();
    assert_eq!(graph.pop_found(), None);
    // What had happened already, and is told only now: the task has given its slot back.
    graph.let_go(task, pool, 1);
    assert_eq!(graph.judge(), None);
    graph.hold(task, pool, 1);
    assert_eq!(graph.judge().map(|found| found.victim), Some(waiter(2)));
    graph.wait_over(wait);
    assert_eq!(graph.judge(), None);
}

#[test]
fn a_pool_is_a_deadlock_only_when_every_holder_waits_for_it() {
    let mut graph = WaitFor::new();
    for task in 1..=3 {
        graph.hold(owner(task), resource(0), 1);
        graph.child(owner(task + 10), owner(task));
    }
    graph.wait(owner(11), waiter(11), &[slots(0, 1, 3)]).unwrap();
    graph.wait(owner(12), waiter(12), &[slots(0, 1, 3)]).unwrap();
    let deadlock = graph.wait(owner(13), waiter(13), &[slots(0, 1, 3)]).unwrap_err();
    assert_eq!(deadlock.victim, waiter(13));
    // The refused one ends its parent, whose slot frees the rest.
    graph.ended(owner(13));
    graph.ended(owner(3));
    assert_eq!(graph.pop_found(), None);
    assert_eq!(graph.waiting(), 2);
}

#[test]
fn a_crawler_that_feeds_its_own_pool_is_a_correct_program() {
    // Its tasks hold all the slots and submit more, but declare nobody as their parent: nothing is guessed.
    let mut graph = WaitFor::new();
    for task in 1..=4 {
        graph.hold(owner(task), resource(0), 1);
    }
    for page in 100..200 {
        graph.wait(owner(page), waiter(page), &[slots(0, 1, 4)]).unwrap();
    }
    assert_eq!(graph.pop_found(), None);
}

#[test]
fn slots_in_undeclared_hands_come_back() {
    let mut graph = WaitFor::new();
    graph.hold(owner(1), resource(0), 1);
    graph.child(owner(2), owner(1));
    graph.wait(owner(2), waiter(2), &[slots(0, 1, 2)]).unwrap();
}

#[test]
fn a_parent_whose_other_child_still_runs_is_not_stuck_until_that_one_ends() {
    let mut graph = WaitFor::new();
    graph.hold(owner(1), resource(0), 1);
    graph.child(owner(2), owner(1));
    graph.child(owner(3), owner(1));
    graph.wait(owner(3), waiter(3), &[slots(0, 1, 1)]).unwrap();
    graph.ended(owner(2));
    let found = graph.pop_found().unwrap();
    assert_eq!(found.victim, waiter(3));
    assert_eq!(found.chain, [link(3, lock(0)), link(1, Awaits::End)]);
    assert_eq!(graph.pop_found(), None);
}

#[test]
fn a_cycle_through_a_pool_a_lock_and_a_grandchild_is_named_in_order() {
    let mut graph = WaitFor::new();
    // 1 holds the pool's slot and awaits 2, which holds lock 7 and awaits 3; 4 holds lock 8 and waits for 7.
    graph.hold(owner(1), resource(0), 1);
    graph.child(owner(2), owner(1));
    graph.hold(owner(2), resource(7), 1);
    graph.child(owner(3), owner(2));
    graph.hold(owner(4), resource(8), 1);
    graph.wait(owner(4), waiter(4), &[slots(7, 1, 1)]).unwrap();
    let deadlock = graph.wait(owner(3), waiter(3), &[slots(8, 1, 1)]).unwrap_err();
    assert_eq!(
        deadlock.chain,
        [link(3, lock(8)), link(4, lock(7)), link(2, Awaits::End)]
    );
}

#[test]
fn a_heavy_task_needs_all_its_slots_and_a_light_one_only_its_own() {
    let mut graph = WaitFor::new();
    graph.hold(owner(1), resource(0), 1);
    graph.hold(owner(2), resource(9), 1);
    graph.wait(owner(1), waiter(1), &[slots(9, 1, 1)]).unwrap();
    let heavy = graph.wait(owner(2), waiter(2), &[slots(0, 3, 3)]);
    assert_eq!(heavy.unwrap_err().chain, [link(2, lock(0)), link(1, lock(9))]);
    graph.wait(owner(2), waiter(2), &[slots(0, 2, 3)]).unwrap();
}

#[test]
fn shrinking_a_pool_can_close_a_knot_and_the_youngest_wait_gives_way() {
    let mut graph = WaitFor::new();
    graph.hold(owner(1), resource(0), 1);
    graph.child(owner(2), owner(1));
    graph.wait(owner(2), waiter(2), &[slots(0, 1, 2)]).unwrap();
    graph.resize(resource(0), 1);
    assert_eq!(graph.pop_found().unwrap().victim, waiter(2));
    // Paused at nothing is nobody's deadlock: whoever paused may resume.
    graph.wait(owner(2), waiter(3), &[slots(0, 1, 2)]).unwrap();
    graph.resize(resource(0), 0);
    assert_eq!(graph.pop_found(), None);
}

#[test]
fn a_task_graph_that_waits_for_a_task_that_waits_for_it_is_found() {
    let mut graph = WaitFor::new();
    // Task 2 depends on task 1, and task 1, running, awaits the result of task 2.
    graph.wait(owner(2), waiter(2), &[Need::End(owner(1))]).unwrap();
    let deadlock = graph
        .wait(owner(1), waiter(1), &[Need::End(owner(2))])
        .unwrap_err();
    assert_eq!(deadlock.chain, [link(1, Awaits::End), link(2, Awaits::End)]);
}

#[test]
fn a_chain_names_what_is_missing_and_not_what_is_there() {
    let mut graph = WaitFor::new();
    // The first task has one of ten slots and waits for a signal of the third, which waits for the second, and that for
    // the first.
    graph.hold(owner(1), resource(0), 1);
    graph.hold(owner(3), resource(7), 1);
    for (n, dependency) in [(2, 1), (3, 2)] {
        let needs = [slots(0, 1, 10), Need::End(owner(dependency))];
        graph.wait(owner(n), waiter(n), &needs).unwrap();
    }
    let deadlock = graph
        .wait(owner(1), waiter(1), &[Need::Signal(resource(7))])
        .unwrap_err();
    assert_eq!(
        deadlock.chain,
        [link(1, lock(7)), link(3, Awaits::End), link(2, Awaits::End)]
    );
}

#[test]
fn a_signal_is_stuck_only_when_all_who_could_give_it_are() {
    let mut graph = WaitFor::new();
    let changed = resource(5);
    graph.hold(owner(1), resource(0), 1);
    graph.wait(owner(1), waiter(1), &[Need::Signal(changed)]).unwrap();
    // Nobody was declared to give it, so anybody may.
    graph.hold(owner(2), changed, 1);
    graph.hold(owner(3), changed, 1);
    graph.wait(owner(2), waiter(2), &[slots(0, 1, 1)]).unwrap();
    // The last giver that could go on leaves: what is left waits in a circle.
    graph.let_go(owner(3), changed, 1);
    let found = graph.pop_found().unwrap();
    assert_eq!(found.victim, waiter(2));
    assert_eq!(found.chain, [link(2, lock(0)), link(1, lock(5))]);
}

#[test]
fn a_long_chain_is_searched_without_recursion_and_ends_at_the_first_proof() {
    let mut graph = WaitFor::new();
    let length = 20_000;
    for n in 0..length {
        graph.hold(owner(n), resource(n as u32), 1);
    }
    for n in 0..length - 1 {
        graph
            .wait(owner(n), waiter(n), &[slots(n as u32 + 1, 1, 1)])
            .unwrap();
    }
    let deadlock = graph
        .wait(owner(length - 1), waiter(length - 1), &[slots(0, 1, 1)])
        .unwrap_err();
    assert_eq!(deadlock.chain.len() as u64, length);
}

#[test]
fn when_all_ended_nothing_remains() {
    let mut graph = WaitFor::new();
    graph.child(owner(2), owner(1));
    graph.hold(owner(1), resource(0), 2);
    let wait = graph.wait(owner(2), waiter(2), &[slots(0, 1, 3), Need::End(owner(9))]);
    graph.wait_over(wait.unwrap());
    graph.ended(owner(2));
    graph.ended(owner(1));
    assert!(graph.is_empty(), "{graph:?}");
}

/// The same world told plainly, judged by Holt's reduction: let everybody finish who can, and see who is left.
#[derive(Clone, Default, Debug)]
struct Model {
    capacity: [u32; 3],
    holds: BTreeMap<(u64, u32), u32>,
    parents: BTreeMap<u64, u64>,
    waits: BTreeMap<Ticket, (u64, Vec<Need>)>,
}

impl Model {
    fn stuck(&self) -> BTreeSet<u64> {
        let mut left: BTreeSet<u64> = (0..OWNERS).collect();
        loop {
            let done: Vec<u64> = left
                .iter()
                .copied()
                .filter(|n| self.can_finish(*n, &left))
                .collect();
            if done.is_empty() {
                return left;
            }
            done.iter().for_each(|n| {
                left.remove(n);
            });
        }
    }

    fn can_finish(&self, n: u64, left: &BTreeSet<u64>) -> bool {
        let children: Vec<u64> = self
            .parents
            .iter()
            .filter(|(_, p)| **p == n)
            .map(|(c, _)| *c)
            .collect();
        let mut waits = self.waits.values().filter(|(of, _)| *of == n).peekable();
        if children.is_empty() && waits.peek().is_none() {
            return true;
        }
        children.iter().any(|child| !left.contains(child))
            || waits.any(|(_, needs)| {
                needs.iter().all(|need| match *need {
                    Need::Slots { resource, slots, .. } => {
                        let capacity = self.capacity[resource.part as usize];
                        let gone: u32 = left
                            .iter()
                            .filter_map(|o| self.holds.get(&(*o, resource.part)))
                            .sum();
                        slots > capacity || gone + slots <= capacity
                    }
                    Need::End(Owner::Named(other)) => !left.contains(&other),
                    Need::End(Owner::Request(_)) => true,
                    Need::Signal(resource) => {
                        let mut givers = self
                            .holds
                            .keys()
                            .filter(|(_, part)| *part == resource.part)
                            .peekable();
                        givers.peek().is_none() || givers.any(|(giver, _)| !left.contains(giver))
                    }
                })
            })
    }

    fn ancestors(&self, mut n: u64) -> Vec<u64> {
        let mut all = vec![n];
        while let Some(parent) = self.parents.get(&n) {
            all.push(*parent);
            n = *parent;
        }
        all
    }

    fn let_go(&mut self, n: u64, part: u32, slots: u32) {
        if let Some(held) = self.holds.get_mut(&(n, part)) {
            *held -= slots.min(*held);
            if *held == 0 {
                self.holds.remove(&(n, part));
            }
        }
    }

    fn step_is_true(&self, link: &Link, next: &Link) -> bool {
        let (Owner::Named(from), Owner::Named(to)) = (link.owner, next.owner) else {
            return false;
        };
        match link.awaits {
            Awaits::End => {
                self.parents.get(&to) == Some(&from)
                    || self
                        .waits
                        .values()
                        .any(|(of, needs)| *of == from && needs.contains(&Need::End(next.owner)))
            }
            Awaits::Resource(awaited) => {
                self.holds.contains_key(&(to, awaited.part))
                    && self.waits.values().any(|(of, needs)| {
                        *of == from
                            && needs.iter().any(|need| match need {
                                Need::Slots { resource, .. } | Need::Signal(resource) => *resource == awaited,
                                Need::End(_) => false,
                            })
                    })
            }
        }
    }

    fn check_true(&self, deadlock: &Deadlock, victim_owner: u64) -> Result<(), TestCaseError> {
        let chain = &deadlock.chain;
        prop_assert!(
            self.stuck().contains(&victim_owner),
            "a correct program was rejected"
        );
        prop_assert!(!chain.is_empty());
        prop_assert_eq!(chain[0].owner, owner(victim_owner));
        for (n, link) in chain.iter().enumerate() {
            prop_assert!(
                self.step_is_true(link, &chain[(n + 1) % chain.len()]),
                "{:?}",
                deadlock
            );
        }
        Ok(())
    }
}

const OWNERS: u64 = 6;

#[derive(Clone, Debug)]
enum Op {
    Hold(u64, u32, u32),
    LetGo(u64, u32, u32),
    Wait(u64, Vec<Need>),
    Over(usize),
    Child(u64, u64),
    Ended(u64),
    Resize(u32, u32),
}

fn ops() -> impl Strategy<Value = Op> {
    let need = prop_oneof![
        6 => (0u32..2, 1u32..3).prop_map(|(part, n)| slots(part, n, 0)),
        1 => (0..OWNERS).prop_map(|n| Need::End(owner(n))),
        1 => Just(Need::Signal(resource(2))),
    ];
    prop_oneof![
        4 => (0..OWNERS, 0u32..3, 1u32..3).prop_map(|(o, r, n)| Op::Hold(o, r, n)),
        1 => (0..OWNERS, 0u32..3, 1u32..3).prop_map(|(o, r, n)| Op::LetGo(o, r, n)),
        5 => (0..OWNERS, prop::collection::vec(need, 1..3)).prop_map(|(o, needs)| Op::Wait(o, needs)),
        2 => (0usize..8).prop_map(Op::Over),
        2 => (0..OWNERS, 0..OWNERS).prop_map(|(c, p)| Op::Child(c, p)),
        1 => (0..OWNERS).prop_map(Op::Ended),
        1 => (0u32..2, 0u32..4).prop_map(|(r, n)| Op::Resize(r, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn finds_exactly_what_reduction_leaves_over(ops in prop::collection::vec(ops(), 1..60)) {
        let mut graph = WaitFor::new();
        let mut model = Model { capacity: [2, 3, 0], ..Model::default() };
        let mut waiters: BTreeMap<Waiter, (Ticket, u64)> = BTreeMap::new();
        for (n, op) in ops.into_iter().enumerate() {
            match op {
                Op::Hold(o, part, n) => {
                    let used: u32 = model.holds.iter().filter(|((_, r), _)| *r == part).map(|(_, n)| n).sum();
                    if part == 2 || used + n <= model.capacity[part as usize] {
                        *model.holds.entry((o, part)).or_default() += n;
                        graph.hold(owner(o), resource(part), n);
                    }
                }
                Op::LetGo(o, part, n) => {
                    model.let_go(o, part, n);
                    graph.let_go(owner(o), resource(part), n);
                }
                Op::Wait(o, mut needs) => {
                    for need in &mut needs {
                        if let Need::Slots { resource, capacity, .. } = need {
                            *capacity = model.capacity[resource.part as usize];
                        }
                    }
                    let me = waiter(n as u64);
                    let before = model.clone();
                    let trial = Ticket::from_bits(u64::MAX - 1);
                    model.waits.insert(trial, (o, needs.clone()));
                    match graph.wait(owner(o), me, &needs) {
                        Ok(ticket) => {
                            model.waits.remove(&trial);
                            model.waits.insert(ticket, (o, needs));
                            waiters.insert(me, (ticket, o));
                        }
                        Err(deadlock) => {
                            prop_assert_eq!(deadlock.victim, me);
                            model.check_true(&deadlock, o)?;
                            model = before;
                        }
                    }
                }
                Op::Over(at) => {
                    if let Some((me, (ticket, _))) = waiters.iter().nth(at).map(|(w, t)| (*w, *t)) {
                        waiters.remove(&me);
                        model.waits.remove(&ticket);
                        graph.wait_over(ticket);
                    }
                }
                Op::Child(child, parent) => {
                    if !model.ancestors(parent).contains(&child) {
                        model.parents.insert(child, parent);
                    }
                    graph.child(owner(child), owner(parent));
                }
                Op::Ended(o) => {
                    model.parents.retain(|c, p| *c != o && *p != o);
                    model.waits.retain(|_, (of, _)| *of != o);
                    model.holds.retain(|(of, _), _| *of != o);
                    waiters.retain(|_, (_, of)| *of != o);
                    graph.ended(owner(o));
                }
                Op::Resize(part, capacity) => {
                    // A resource nobody knows has no capacity to change.
                    model.capacity[part as usize] = capacity;
                    graph.resize(resource(part), capacity);
                }
            }
            let mut found = Vec::new();
            while let Some(deadlock) = graph.pop_found() { found.push(deadlock); }
            for deadlock in found {
                let (ticket, o) = waiters.remove(&deadlock.victim).expect("a victim that waits");
                model.check_true(&deadlock, o)?;
                model.waits.remove(&ticket);
            }
            prop_assert_eq!(graph.waiting(), model.waits.len());
            let stuck = model.stuck();
            prop_assert!(stuck.is_empty(), "not found: {:?}", stuck);
        }
    }
}
